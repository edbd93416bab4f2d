import type { OtherKeys } from "./fields.ts";

const scheduler = "the scheduler's: there is one node";
const cluster = "no API server is asked";
const kubelet = "the kubelet's";

const all = (keys: string, why: string): Record<string, string> =>
  Object.fromEntries(keys.split(" ").map((key) => [key, why]));

/** Fields of a pod's specification that play does not read. */
export const podKeys: OtherKeys = {
  passedOver: {
    ...all(
      "affinity nodeName nodeSelector overhead preemptionPolicy priority priorityClassName schedulerName schedulingGates tolerations topologySpreadConstraints",
      scheduler,
    ),
    ...all(
      "automountServiceAccountToken enableServiceLinks readinessGates serviceAccount serviceAccountName",
      cluster,
    ),
    imagePullSecrets: "credentials are the server's own (registryAuthFile)",
    os: "Linux is the only one",
  },
  unsupported:
    "activeDeadlineSeconds ephemeralContainers hostUsers hostnameOverride resourceClaims resources setHostnameAsFQDN subdomain workloadRef".split(
      " ",
    ),
};

/** Fields of a container that play does not read. */
export const containerKeys: OtherKeys = {
  passedOver: {
    ...all("terminationMessagePath terminationMessagePolicy", kubelet),
    resizePolicy: kubelet,
  },
  unsupported: ["restartPolicyRules", "volumeDevices"],
};

/** What a server adds to an object's metadata; it has no say here. */
export const serversMetadata =
  "creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation managedFields ownerReferences resourceVersion selfLink uid".split(
    " ",
  );

/** Fields of workloads that play does not read, by kind. */
export const workloadKeys: Readonly<Record<string, OtherKeys>> = {
  Deployment: {
    passedOver: all(
      "minReadySeconds paused progressDeadlineSeconds revisionHistoryLimit selector strategy",
      "the controller's",
    ),
  },
  DaemonSet: {
    passedOver: all(
      "minReadySeconds revisionHistoryLimit selector updateStrategy",
      "the controller's",
    ),
  },
  Job: {
    passedOver: {
      ...all(
        "backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector maxFailedIndexes parallelism podFailurePolicy podReplacementPolicy selector successPolicy suspend ttlSecondsAfterFinished",
        "the controller's: one pod is run once",
      ),
      activeDeadlineSeconds: "not applied",
    },
  },
};

/** Kinds that say nothing to one node; whatever is in them, they are passed over. */
export const passedOverKinds = new Set(
  "APIService ClusterRole ClusterRoleBinding CustomResourceDefinition EndpointSlice Endpoints HorizontalPodAutoscaler Ingress IngressClass LimitRange Namespace NetworkPolicy PodDisruptionBudget PriorityClass ResourceQuota Role RoleBinding RuntimeClass Service ServiceAccount StorageClass".split(
    " ",
  ),
);

const controllersVolumes =
  "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker gcePersistentDisk gitRepo glusterfs image iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume";

/** Kinds of volumes that a node alone cannot make. */
export const volumeKeys: OtherKeys = { unsupported: controllersVolumes.split(" ") };
