import { MountPropagation, Protocol } from "../../gen/runtime/v1/api_pb.js";
import { readEnvironment } from "./environment.ts";
import type { PodSelf } from "./environment.ts";
import type { Fields } from "./fields.ts";
import { containerKeys } from "./other-keys.ts";
import type { ContainerInit, PlannedContainer, PlannedPort, RestartPolicy } from "./plan.ts";
import type { SandboxInit } from "./plan.ts";
import { readHooks, readProbes } from "./probes.ts";
import { quantity } from "./quantity.ts";
import { containerSecurity } from "./security.ts";
import type { PodSecurity } from "./security.ts";
import { isWithin } from "./volumes.ts";
import type { Volume } from "./volumes.ts";

/** What of the pod its containers need. */
export interface PodFacts extends PodSelf {
  podLabels: Record<string, string>;
  volumes: ReadonlyMap<string, Volume>;
  /** /etc/hosts of the pod's own, if it has one. */
  hostsFile: string | undefined;
  namespaceOptions: NonNullable<
    NonNullable<NonNullable<SandboxInit["linux"]>["securityContext"]>["namespaceOptions"]
  >;
  security: PodSecurity;
  restartPolicy: RestartPolicy;
}

type Mount = NonNullable<ContainerInit["mounts"]>[number];

export function readContainer(fields: Fields, pod: PodFacts, init: boolean): PlannedContainer {
  const name = fields.text("name");
  const image = fields.text("image");
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) {
    fields.problem("name", name === "" ? "is missing" : "want a-z, 0-9 and -");
  }
  if (image === "") fields.problem("image", "is missing");
  const sidecar = init && fields.text("restartPolicy") === "Always";
  if (!init && fields.has("restartPolicy")) {
    fields.problem("restartPolicy", "not supported by dockline play: the pod has one");
  }
  const { ports, byName } = readPorts(fields.list("ports"));
  const probes = readProbes(fields, byName);
  const hooks = readHooks(fields, byName);
  if (init && !sidecar && Object.keys({ ...probes, ...hooks }).length > 0) {
    fields.problem("name", "an init container that ends cannot have probes or a lifecycle");
  }
  const mounts = fields.list("volumeMounts").map((mount) => readMount(mount, pod.volumes));
  if (pod.hostsFile !== undefined && mounts.every((m) => m.containerPath !== "/etc/hosts")) {
    mounts.push({ hostPath: pod.hostsFile, containerPath: "/etc/hosts" });
  }
  const securityContext = fields.mapping("securityContext");
  const nonRoot =
    securityContext?.has("runAsNonRoot") === true
      ? securityContext.flag("runAsNonRoot")
      : pod.security.nonRoot;
  const config: ContainerInit = {
    metadata: { name },
    command: fields.texts("command"),
    args: fields.texts("args"),
    workingDir: fields.text("workingDir"),
    mounts,
    labels: { "io.kubernetes.container.name": name, ...pod.podLabels },
    stdin: fields.flag("stdin"),
    stdinOnce: fields.flag("stdinOnce"),
    tty: fields.flag("tty"),
    linux: {
      resources: readResources(fields.mapping("resources")),
      securityContext: {
        ...containerSecurity(securityContext, pod.security),
        namespaceOptions: pod.namespaceOptions,
      },
    },
  };
  const environment = readEnvironment(fields, pod);
  const latest = !/:[^/]+$/.test(image.replace(/@.*$/, "")) && !image.includes("@");
  const pull = fields.choice(
    "imagePullPolicy",
    ["Always", "IfNotPresent", "Never"],
    latest || /:latest$/.test(image) ? "Always" : "IfNotPresent",
  );
  fields.finish(containerKeys);
  return {
    name,
    image,
    pull,
    role: sidecar ? "sidecar" : init ? "init" : "main",
    restartPolicy: restartPolicyOf(pod.restartPolicy, init, sidecar),
    config,
    environment,
    probes,
    hooks,
    nonRoot,
    hostPorts: ports.filter((port) => port.hostPort > 0),
  };
}

/** An init container that has succeeded is never run again, whatever the pod's policy. */
function restartPolicyOf(pod: RestartPolicy, init: boolean, sidecar: boolean): RestartPolicy {
  if (sidecar) return "Always";
  return init && pod === "Always" ? "OnFailure" : pod;
}

const protocols = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP };

function readPorts(list: Fields[]): { ports: PlannedPort[]; byName: Map<string, number> } {
  const byName = new Map<string, number>();
  const ports = list.map((port) => {
    const number = (key: string, least: number): number => {
      const value = port.integer(key) ?? 0;
      if (value < least || value > 65535) port.problem(key, `want ${least} to 65535`);
      return value;
    };
    const containerPort = number("containerPort", 1);
    byName.set(port.text("name"), containerPort);
    const planned: PlannedPort = {
      protocol: protocols[port.choice("protocol", ["TCP", "UDP", "SCTP"], "TCP")],
      containerPort,
      hostPort: number("hostPort", 0),
      hostIp: port.text("hostIP"),
    };
    port.finish();
    return planned;
  });
  byName.delete("");
  return { ports, byName };
}

const propagations = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

function readMount(mount: Fields, volumes: ReadonlyMap<string, Volume>): Mount {
  const name = mount.text("name");
  const volume = volumes.get(name);
  if (volume === undefined) mount.problem("name", `no volume ${JSON.stringify(name)}`);
  const subPath = mount.text("subPath");
  if (subPath !== "" && !isWithin(subPath)) {
    mount.problem("subPath", "want a path inside the volume");
  }
  const containerPath = mount.text("mountPath");
  if (containerPath === "") mount.problem("mountPath", "is missing");
  const path = volume?.hostPath ?? "";
  const propagation = mount.choice(
    "mountPropagation",
    ["None", "HostToContainer", "Bidirectional"],
    "None",
  );
  const result = {
    hostPath: subPath === "" ? path : `${path.replace(/\/$/, "")}/${subPath}`,
    containerPath: containerPath.startsWith("/") ? containerPath : `/${containerPath}`,
    readonly: mount.flag("readOnly") || volume?.readonly === true,
    propagation: propagations[propagation],
  };
  mount.finish({ unsupported: ["subPathExpr", "recursiveReadOnly"] });
  return result;
}

function readResources(
  fields: Fields | undefined,
): NonNullable<NonNullable<ContainerInit["linux"]>["resources"]> {
  const limits = fields?.mapping("limits");
  const requests = fields?.mapping("requests");
  fields?.finish({ unsupported: ["claims"] });
  const cpuLimit = limits === undefined ? undefined : quantity(limits, "cpu");
  const cpuRequest = requests === undefined ? undefined : quantity(requests, "cpu");
  const memory = limits === undefined ? undefined : quantity(limits, "memory");
  if (requests !== undefined) quantity(requests, "memory");
  const disk = { passedOver: { "ephemeral-storage": "the kubelet's: disks are not measured" } };
  limits?.finish(disk);
  requests?.finish(disk);
  const cpu = cpuRequest ?? cpuLimit;
  const period = 100_000;
  return {
    cpuPeriod: BigInt(period),
    ...(cpuLimit === undefined ? {} : { cpuQuota: BigInt(Math.round(cpuLimit * period)) }),
    cpuShares: BigInt(cpu === undefined ? 2 : Math.max(2, Math.round(cpu * 1024))),
    ...(memory === undefined ? {} : { memoryLimitInBytes: BigInt(Math.round(memory)) }),
    // As the kubelet scores a pod without guarantees.
    oomScoreAdj: 1000n,
  };
}
