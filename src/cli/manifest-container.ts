import { MountPropagation } from "../gen/runtime/v1/api_pb.js";
import type { Fields } from "./fields.ts";
import type { ContainerInit, PlannedContainer, SandboxInit } from "./manifest-plan.ts";
import { containerSecurity } from "./manifest-security.ts";
import type { PodSecurity } from "./manifest-security.ts";

/** What of the pod its containers need. */
interface PodFacts {
  name: string;
  namespace: string;
  uid: string;
  podLabels: Record<string, string>;
  volumes: Map<string, string>;
  namespaceOptions: NonNullable<
    NonNullable<NonNullable<SandboxInit["linux"]>["securityContext"]>["namespaceOptions"]
  >;
  security: PodSecurity;
}

export function readContainer(fields: Fields, pod: PodFacts, init: boolean): PlannedContainer {
  const name = fields.text("name");
  const image = fields.text("image");
  if (name === "") fields.problem("name", "is missing");
  if (image === "") fields.problem("image", "is missing");
  const restartPolicy = fields.text("restartPolicy");
  const sidecar = init && restartPolicy === "Always";
  const environment = readEnvironment(fields.list("env"), pod);
  const ports = fields.list("ports").map(readPort);
  const pull = fields.text("imagePullPolicy", "IfNotPresent");
  const config: ContainerInit = {
    metadata: { name, attempt: 0 },
    command: fields.texts("command"),
    args: fields.texts("args"),
    workingDir: fields.text("workingDir"),
    envs: environment.fixed,
    mounts: fields.list("volumeMounts").map((mount) => readMount(mount, pod.volumes)),
    labels: { "io.kubernetes.container.name": name, ...pod.podLabels },
    logPath: `${name}/0.log`,
    stdin: fields.flag("stdin"),
    stdinOnce: fields.flag("stdinOnce"),
    tty: fields.flag("tty"),
    linux: {
      resources: readResources(fields.mapping("resources")),
      securityContext: {
        ...containerSecurity(fields.mapping("securityContext"), pod.security),
        namespaceOptions: pod.namespaceOptions,
      },
    },
  };
  fields.ignore("terminationMessagePath", "terminationMessagePolicy");
  fields.finish();
  return {
    name,
    image,
    pull: pull === "Always" || pull === "Never" ? pull : "IfNotPresent",
    role: sidecar ? "sidecar" : init ? "init" : "main",
    config,
    lateEnvironment: environment.late,
    hostPorts: ports.filter((port) => port.hostPort > 0),
  };
}

function readEnvironment(
  list: Fields[],
  pod: PodFacts,
): {
  fixed: { key: string; value: Uint8Array }[];
  late: PlannedContainer["lateEnvironment"];
} {
  const fixed: { key: string; value: Uint8Array }[] = [];
  const late: PlannedContainer["lateEnvironment"] = [];
  for (const entry of list) {
    const name = entry.text("name");
    const from = entry.mapping("valueFrom")?.mapping("fieldRef")?.text("fieldPath");
    const known: Record<string, string> = {
      "metadata.name": pod.name,
      "metadata.namespace": pod.namespace,
      "metadata.uid": pod.uid,
    };
    if (!entry.has("valueFrom")) {
      fixed.push({ key: name, value: Buffer.from(entry.text("value")) });
    } else if (from === "status.podIP") late.push({ name, source: "podIP" });
    else if (from !== undefined && from in known) {
      fixed.push({ key: name, value: Buffer.from(known[from] ?? "") });
    } else entry.problem("valueFrom", "only metadata.name, .namespace, .uid and status.podIP");
    entry.finish();
  }
  return { fixed, late };
}

function readPort(port: Fields): { hostPort: number; containerPort: number } {
  const containerPort = port.integer("containerPort") ?? 0;
  const hostPort = port.integer("hostPort") ?? 0;
  if (containerPort < 1 || containerPort > 65535) port.problem("containerPort", "want 1 to 65535");
  if (port.text("protocol", "TCP") !== "TCP") port.problem("protocol", "only TCP host ports");
  port.ignore("name");
  port.finish();
  return { hostPort, containerPort };
}

function readMount(
  mount: Fields,
  volumes: Map<string, string>,
): NonNullable<ContainerInit["mounts"]>[number] {
  const name = mount.text("name");
  const hostPath = volumes.get(name);
  if (hostPath === undefined) mount.problem("name", `no volume ${JSON.stringify(name)}`);
  const propagation = mount.text("mountPropagation", "None");
  const modes: Record<string, MountPropagation> = {
    None: MountPropagation.PROPAGATION_PRIVATE,
    HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
  };
  const result = {
    hostPath: hostPath ?? "",
    containerPath: mount.text("mountPath"),
    readonly: mount.flag("readOnly"),
    propagation: modes[propagation] ?? MountPropagation.PROPAGATION_PRIVATE,
  };
  mount.finish();
  return result;
}

function readResources(
  fields: Fields | undefined,
): NonNullable<NonNullable<ContainerInit["linux"]>["resources"]> {
  const limits = fields?.mapping("limits");
  const requests = fields?.mapping("requests");
  fields?.finish();
  const cpuLimit = limits === undefined ? undefined : quantity(limits, "cpu");
  const cpuRequest = requests === undefined ? undefined : quantity(requests, "cpu");
  const memory = limits === undefined ? undefined : quantity(limits, "memory");
  if (requests !== undefined) quantity(requests, "memory");
  limits?.finish();
  requests?.finish();
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

const suffixes: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A Kubernetes quantity ("250m", "64Mi", 1). */
function quantity(fields: Fields, key: string): number | undefined {
  const value = fields.raw(key);
  if (value === undefined || value === null) return undefined;
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]{0,2})$/.exec(
    typeof value === "number" || typeof value === "string" ? String(value) : "",
  );
  const factor = suffixes[match?.[2] ?? "?"];
  if (match === null || factor === undefined) {
    fields.problem(key, "want a quantity such as 250m or 64Mi");
    return undefined;
  }
  return Number(match[1]) * factor;
}
