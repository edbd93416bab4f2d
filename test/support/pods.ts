import { randomUUID } from "node:crypto";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { ContainerState, NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import type {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { TestNode } from "./node.ts";
import { busybox } from "./test-images.ts";

export type SandboxInit = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, Message>;
export type ContainerInit = Exclude<MessageInitShape<typeof ContainerConfigSchema>, Message>;

/** A sandbox configuration as the kubelet sends it, unique unless told otherwise. */
export function sandboxConfig(node: TestNode, fields: SandboxInit = {}): SandboxInit {
  const uid = randomUUID();
  const name = fields.metadata?.name ?? `pod-${uid.slice(0, 8)}`;
  const metadata = { name, namespace: "test", uid, attempt: 0, ...fields.metadata };
  return {
    hostname: name,
    logDirectory: `${node.logDir}/${metadata.namespace}_${name}_${metadata.uid}`,
    labels: {
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": metadata.namespace,
      "io.kubernetes.pod.uid": metadata.uid,
    },
    annotations: { "kubernetes.io/config.source": "file" },
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
    ...fields,
    metadata,
  };
}

/** Host network: no CNI, so tests that are about something else are quicker. */
export function hostSandboxConfig(node: TestNode, fields: SandboxInit = {}): SandboxInit {
  return sandboxConfig(node, {
    linux: {
      securityContext: {
        namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER },
      },
    },
    hostname: "",
    ...fields,
  });
}

/** A container that runs a shell line; its log is `<name>/0.log` below the pod's folder. */
export function containerConfig(shell: string, fields: ContainerInit = {}): ContainerInit {
  const name = fields.metadata?.name ?? "main";
  return {
    image: { image: busybox },
    command: ["sh", "-c"],
    args: [shell],
    logPath: `${name}/0.log`,
    labels: { "io.kubernetes.container.name": name },
    annotations: { "io.kubernetes.container.hash": "abcd1234" },
    linux: {
      resources: {},
      securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } },
    },
    ...fields,
    metadata: { name, attempt: 0, ...fields.metadata },
  };
}

/** The same with names that are not given twice: the letter and a number. */
export function numberedConfig(
  letter: string,
): (shell: string, fields?: ContainerInit) => ContainerInit {
  let count = 0;
  return (shell, fields = {}) => {
    count += 1;
    return containerConfig(shell, { metadata: { name: `${letter}${count}` }, ...fields });
  };
}

export interface RunningPod {
  podSandboxId: string;
  sandbox: SandboxInit;
}

export async function runPod(node: TestNode, sandbox?: SandboxInit): Promise<RunningPod> {
  const config = sandbox ?? sandboxConfig(node);
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  return { podSandboxId, sandbox: config };
}

export async function createContainer(
  node: TestNode,
  pod: RunningPod,
  config: ContainerInit,
): Promise<string> {
  const { containerId } = await node.runtime.createContainer({
    podSandboxId: pod.podSandboxId,
    config,
    sandboxConfig: pod.sandbox,
  });
  return containerId;
}

export async function startContainer(
  node: TestNode,
  pod: RunningPod,
  config: ContainerInit,
): Promise<string> {
  const containerId = await createContainer(node, pod, config);
  await node.runtime.startContainer({ containerId });
  return containerId;
}

/** Waits for the container's end and returns its status. */
export async function untilExited(node: TestNode, containerId: string, timeoutMs = 20_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const { status } = await node.runtime.containerStatus({ containerId });
    if (status?.state === ContainerState.CONTAINER_EXITED) return status;
    if (Date.now() > end) throw new Error(`container ${containerId} still runs`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs a command and returns its output; a non-zero exit code is an error. */
export async function shell(node: TestNode, containerId: string, line: string): Promise<string> {
  const answer = await node.runtime.execSync({
    containerId,
    cmd: ["sh", "-c", line],
    timeout: 20n,
  });
  const text = Buffer.from(answer.stdout).toString("utf8");
  if (answer.exitCode !== 0) {
    throw new Error(`${line}: ${answer.exitCode} ${Buffer.from(answer.stderr).toString("utf8")}`);
  }
  return text.trimEnd();
}

export async function removePod(node: TestNode, pod: { podSandboxId: string }): Promise<void> {
  await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
  await node.runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
}

/** Removes every pod there is: for `afterEach` of tests that failed half-way. */
export async function removeAllPods(node: TestNode): Promise<void> {
  const { items } = await node.runtime.listPodSandbox({});
  for (const { id } of items) await removePod(node, { podSandboxId: id });
}

/** A member that sleeps, with the pod's own namespaces; each has its own pids unless said otherwise. */
export async function sleepingMember(
  node: TestNode,
  pod: RunningPod,
  pid = NamespaceMode.CONTAINER,
): Promise<string> {
  const { namespaceOptions } = pod.sandbox.linux?.securityContext ?? {};
  return await startContainer(node, pod, {
    ...containerConfig("sleep 1000"),
    linux: { securityContext: { namespaceOptions: { ...namespaceOptions, pid } } },
  });
}
