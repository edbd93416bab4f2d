import { invalidArgument } from "../errors.ts";
import type { ContainerCreate, HostConfig } from "../engine/types.ts";
import type { LinuxSandboxSecurityContext, PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { toCgroupParent } from "./cgroup-parent.ts";
import type { EditingRuntime, EngineFacts } from "./engine-facts.ts";
import { quoted, requirePlainText } from "./field-checks.ts";
import { isHostNetwork, toSandboxNamespaces } from "./namespaces.ts";
import { toDockerUser } from "./run-as.ts";
import { editingRuntime, toDockerRuntime, toOciAnnotations } from "./runtime-handler.ts";
import { toSandboxSecurity } from "./security-context.ts";
import { toSysctls } from "./sysctls.ts";
import { toPodIds } from "./user-namespace.ts";

export interface SandboxSpecInput {
  readonly config: PodSandboxConfig;
  /** Docker's name of the pause container. */
  readonly name: string;
  readonly runtimeHandler: string;
  /** From toSandboxLabels. */
  readonly labels: Record<string, string>;
  readonly pauseImage: string;
  readonly engine: EngineFacts;
  /** Dockline makes the pod's network namespace: the pause container runs under dockline-oci. */
  readonly ownNetns?: boolean;
  /** Text of the localhost seccomp profile, when localhostSeccompPath names one. */
  readonly seccompProfile?: string;
}

/** The kernel kills everything else of a pod first: dockershim's value. */
const SANDBOX_OOM_SCORE_ADJ = -998;
/** The kernel's least: pause sleeps. */
const SANDBOX_CPU_SHARES = 2;
const MAX_HOSTNAME_BYTES = 64;
/** /dev/shm of the pod, as under containerd; daemon.json may have another default. */
const SHM_BYTES = 64 << 20;

/**
 * RunPodSandbox → the pause container. DNS, port mappings and the network itself are not Docker's
 * business here: resolv.conf is rewritten after start, and CNI does the rest.
 *
 * @throws InvalidArgument or Unimplemented naming the field
 */
export function toSandboxCreate(input: SandboxSpecInput): ContainerCreate {
  const { config, engine } = input;
  const context = config.linux?.securityContext;
  const options = context?.namespaceOptions;
  const editing = editingRuntime(input.runtimeHandler, engine);
  const namespaces = toSandboxNamespaces(
    options,
    { ...engine, editing },
    context?.privileged ?? false,
  );
  const isEdited = toPodIds(options) !== undefined || input.ownNetns === true;
  const edited = isEdited ? editing : undefined;
  const cgroupParent = toCgroupParent(config.linux?.cgroupParent ?? "", engine);
  const { User, GroupAdd } = toDockerUser(withoutLoneGroup(context), {
    // The pause image has no users: whatever the policy, only the listed groups apply.
    user: "0",
    accounts: { passwd: "", group: "" },
  });
  const hostConfig: HostConfig = {
    ...namespaces,
    ...commonHostConfig(input.runtimeHandler, input.name, engine, edited),
    ...toSandboxSecurity(context, engine, input.seccompProfile),
    GroupAdd,
    Sysctls: toSysctls(
      config.linux?.sysctls ?? {},
      { hostNetwork: isHostNetwork(options), hostIpc: namespaces.IpcMode === "host" },
      engine,
    ),
    ...(cgroupParent === undefined ? {} : { CgroupParent: cgroupParent }),
    OomScoreAdj: Math.max(SANDBOX_OOM_SCORE_ADJ, engine.oomScoreFloor),
    CpuShares: SANDBOX_CPU_SHARES,
    ShmSize: SHM_BYTES,
  };
  const hostname = checkHostname(config.hostname);
  return {
    Image: input.pauseImage,
    ...(hostname === "" ? {} : { Hostname: hostname }),
    ...(User === undefined ? {} : { User }),
    Labels: input.labels,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: hostConfig,
  };
}

/**
 * Set on every container of a pod, so that neither image nor daemon.json decides.
 *
 * @param edited dockline-oci, where the container needs edits of its OCI spec
 */
export function commonHostConfig(
  runtimeHandler: string,
  pauseName: string,
  engine: EngineFacts,
  edited: EditingRuntime | undefined,
): HostConfig {
  const runtime = edited?.name ?? toDockerRuntime(runtimeHandler, engine);
  const annotations = toOciAnnotations(runtimeHandler, pauseName, engine);
  return {
    RestartPolicy: { Name: "no" },
    AutoRemove: false,
    Init: false,
    LogConfig: {
      Type: "json-file",
      Config: {
        "max-size": engine.logMaxSize,
        "max-file": String(engine.logMaxFiles),
        // Rotated files are read while they wait; the daemon's log-opts may say otherwise.
        compress: "false",
        ...engine.logOptions,
      },
    },
    ...(engine.ulimits === undefined || engine.ulimits.length === 0
      ? {}
      : { Ulimits: engine.ulimits.map((limit) => ({ ...limit })) }),
    ...(runtime === undefined ? {} : { Runtime: runtime }),
    ...(annotations === undefined ? {} : { Annotations: annotations }),
  };
}

function checkHostname(hostname: string): string {
  requirePlainText("hostname", hostname);
  if (Buffer.byteLength(hostname) > MAX_HOSTNAME_BYTES) {
    throw invalidArgument(
      `hostname: ${quoted(hostname)} is longer than ${MAX_HOSTNAME_BYTES} bytes`,
    );
  }
  return hostname;
}

/**
 * The kubelet copies a pod's runAsGroup here also where the pod names no user. The group is for the
 * containers, each of which names a user or is refused; pause, which opens nothing, does without.
 */
function withoutLoneGroup(
  context: LinuxSandboxSecurityContext | undefined,
): LinuxSandboxSecurityContext | undefined {
  if (context?.runAsGroup === undefined || context.runAsUser !== undefined) return context;
  return { ...context, runAsGroup: undefined };
}
