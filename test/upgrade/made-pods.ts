import { toJson } from "@bufbuild/protobuf";
import type { JsonValue } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  ContainerSchema,
  ContainerState,
  ContainerStatusSchema,
  NamespaceMode,
  PodSandboxSchema,
  PodSandboxStatusSchema,
  Protocol,
} from "../../src/gen/runtime/v1/api_pb.js";
import { attachedOutput } from "../support/attach.ts";
import { inspect, logPathOf, logText, readCriLog } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import { podNamespaces, usernsPod } from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod, SandboxInit } from "../support/pods.ts";
import { openPair } from "../support/port-forward.ts";
import { freePort } from "../support/registry.ts";
import { spdyUpgrade } from "../support/streaming-server.ts";
import { until } from "../support/until.ts";

/** "low": `hostUsers: false` with ids of the node's own users, which only the newer package takes. */
export type Kind = "host" | "network" | "userns" | "low";

const lowIds = [{ containerId: 0, hostId: 20_000, length: 65536 }];
const lowNamespaces = {
  ...podNamespaces,
  usernsOptions: { mode: NamespaceMode.POD, uids: lowIds, gids: lowIds },
};

/** A pod with a container that serves a page and counts in its log, one that has ended and one that was never started. */
export interface MadePod {
  readonly kind: Kind;
  readonly pod: RunningPod;
  readonly config: ContainerInit;
  readonly main: string;
  readonly waiting: string;
  /** Pause container and members. */
  readonly ids: readonly string[];
  readonly port: number;
  readonly hostPort: number | undefined;
}

export const memoryLimit = 96n << 20n;

/** A container's configuration with the namespaces of its pod. */
export function memberConfig(sandbox: SandboxInit, name: string, line: string): ContainerInit {
  const { namespaceOptions } = sandbox.linux?.securityContext ?? {};
  return containerConfig(line, {
    metadata: { name },
    linux: {
      resources: {},
      securityContext: namespaceOptions === undefined ? {} : { namespaceOptions },
    },
  });
}

export async function makePod(node: TestNode, kind: Kind): Promise<MadePod> {
  const hostPort = kind === "network" ? await freePort("0.0.0.0") : undefined;
  const port = kind === "host" ? await freePort() : 8080;
  const sandbox = {
    host: () => hostSandboxConfig(node),
    network: () =>
      sandboxConfig(node, {
        portMappings: [
          { protocol: Protocol.TCP, containerPort: port, ...(hostPort && { hostPort }) },
        ],
      }),
    userns: () => usernsPod(node),
    low: () => usernsPod(node, { linux: { securityContext: { namespaceOptions: lowNamespaces } } }),
  }[kind]();
  const pod = await runPod(node, sandbox);
  const ended = await startContainer(node, pod, memberConfig(sandbox, "ended", "echo bye; exit 3"));
  const listen = kind === "host" ? `127.0.0.1:${port}` : port;
  const config = memberConfig(
    sandbox,
    "main",
    `mkdir /w && echo page of ${sandbox.metadata?.name} >/w/index.html && httpd -p ${listen} -h /w
     trap "exit 7" TERM; n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1; done`,
  );
  const main = await startContainer(node, pod, config);
  await node.runtime.updateContainerResources({
    containerId: main,
    linux: { memoryLimitInBytes: memoryLimit },
  });
  const waiting = await createContainer(node, pod, memberConfig(sandbox, "waiting", "sleep 1000"));
  await untilExited(node, ended);
  // Until it is inspected it is listed with what its create said: another time, and the image's name.
  await until(async () => {
    const { containers } = await node.runtime.listContainers({ filter: { id: waiting } });
    return containers[0]?.imageId.startsWith("sha256:") === true;
  });
  const ids = [pod.podSandboxId, main, ended, waiting];
  return { kind, pod, config, main, waiting, ids, port, hostPort };
}

/** What Docker says of their processes: the same means that nothing was restarted. */
export async function processesOf(node: TestNode, pods: readonly MadePod[]): Promise<object> {
  const each = pods.flatMap(({ ids }) => ids).map((id) => inspect(node, id));
  return (await Promise.all(each)).map(({ Id, State }) => ({
    id: Id,
    pid: State.Pid,
    startedAt: State.StartedAt,
    finishedAt: State.FinishedAt,
  }));
}

/** All that Dockline says of these pods and their containers, in lists and statuses, by call and id. */
export async function toldOf(
  { runtime }: TestNode,
  pods: readonly MadePod[],
): Promise<Map<string, JsonValue>> {
  const ids = new Set(pods.flatMap((pod) => pod.ids));
  const told = new Map<string, JsonValue>();
  for (const item of (await runtime.listPodSandbox({})).items) {
    if (!ids.has(item.id)) continue;
    told.set(`ListPodSandbox ${item.id}`, toJson(PodSandboxSchema, item));
    const { status } = await runtime.podSandboxStatus({ podSandboxId: item.id });
    if (status === undefined) throw new Error(`PodSandboxStatus ${item.id}: no status`);
    told.set(`PodSandboxStatus ${item.id}`, toJson(PodSandboxStatusSchema, status));
  }
  for (const item of (await runtime.listContainers({})).containers) {
    if (!ids.has(item.id)) continue;
    told.set(`ListContainers ${item.id}`, toJson(ContainerSchema, item));
    const { status } = await runtime.containerStatus({ containerId: item.id });
    if (status === undefined) throw new Error(`ContainerStatus ${item.id}: no status`);
    // The older package has the node's ids in a user namespace, and none for what does not run.
    status.user = undefined;
    told.set(`ContainerStatus ${item.id}`, toJson(ContainerStatusSchema, status));
  }
  return told;
}

/** The numbers that a pod has counted in its log. */
export function countedBy({ pod, config }: MadePod): number[] {
  return logText(readCriLog(logPathOf(pod, config)))
    .trimEnd()
    .split("\n")
    .map(Number);
}

/** Answer to a GET through port-forward. */
async function forwardedPage(node: TestNode, { pod, port }: MadePod): Promise<string> {
  const { podSandboxId } = pod;
  const { url } = await node.runtime.portForward({ podSandboxId, port: [port] });
  const server = { address: { port: Number(new URL(url).port) } };
  const client = await spdyUpgrade(server, url, "portforward.k8s.io");
  const [data] = openPair(client, port);
  client.send(data, "GET /index.html HTTP/1.0\r\n\r\n");
  await client.until(() => client.received(data).fin);
  client.transport.destroy();
  return client.received(data).text;
}

/** Exec in both ways, port-forward, the host port, stats and a resize. */
export async function expectWorks(node: TestNode, made: MadePod): Promise<void> {
  const { kind, main, pod, hostPort } = made;
  const page = `page of ${pod.sandbox.metadata?.name}`;
  expect(await shell(node, main, "cat /w/index.html; id -u")).to.equal(`${page}\n0`);
  const cmd = ["sh", "-c", "read line; echo heard $line"];
  const { url } = await node.runtime.exec({ containerId: main, cmd, stdin: true, stdout: true });
  expect(await attachedOutput(url, "you\n")).to.equal("heard you\n");
  expect(await forwardedPage(node, made)).to.match(new RegExp(`\r\n\r\n${page}\n$`));
  if (hostPort !== undefined) {
    const answer = await fetch(`http://127.0.0.1:${hostPort}/index.html`, {
      signal: AbortSignal.timeout(20_000),
    });
    expect(await answer.text()).to.equal(`${page}\n`);
  }

  const { stats } = await node.runtime.containerStats({ containerId: main });
  expect(Number(stats?.memory?.usageBytes?.value ?? 0)).to.be.above(0);
  expect(Number(stats?.cpu?.usageCoreNanoSeconds?.value ?? 0)).to.be.above(0);
  const of = await node.runtime.podSandboxStats({ podSandboxId: pod.podSandboxId });
  expect(of.stats?.linux?.containers.map(({ attributes }) => attributes?.id)).to.include(main);
  if (kind !== "host") {
    expect(of.stats?.linux?.network?.defaultInterface?.name).to.equal("eth0");
  }

  const limitOf = async (): Promise<bigint | undefined> => {
    const { status } = await node.runtime.containerStatus({ containerId: main });
    return status?.resources?.linux?.memoryLimitInBytes;
  };
  expect(await limitOf()).to.equal(memoryLimit);
  const resize = async (memoryLimitInBytes: bigint): Promise<void> => {
    await node.runtime.updateContainerResources({
      containerId: main,
      linux: { memoryLimitInBytes },
    });
  };
  await resize(memoryLimit * 2n);
  expect(await limitOf()).to.equal(memoryLimit * 2n);
  expect((await inspect(node, main)).HostConfig.Memory).to.equal(Number(memoryLimit * 2n));
  await resize(memoryLimit);
}

/** The container that was only created is started; one more is made, and goes again. */
export async function expectTakesMembers(node: TestNode, made: MadePod): Promise<void> {
  const { pod, waiting } = made;
  const { status } = await node.runtime.containerStatus({ containerId: waiting });
  if (status?.state === ContainerState.CONTAINER_CREATED) {
    await node.runtime.startContainer({ containerId: waiting });
  }
  expect(await shell(node, waiting, "echo here")).to.equal("here");
  const later = await startContainer(node, pod, memberConfig(pod.sandbox, "later", "sleep 1000"));
  const page = `wget -qO- http://127.0.0.1:${made.port}/index.html`;
  expect(await shell(node, later, page)).to.equal(`page of ${pod.sandbox.metadata?.name}`);
  await node.runtime.removeContainer({ containerId: later });
}

/** A stop by signal, which the container answers, then StopPodSandbox and RemovePodSandbox. */
export async function endPod(node: TestNode, { main, pod }: MadePod): Promise<void> {
  const { podSandboxId } = pod;
  await node.runtime.stopContainer({ containerId: main, timeout: 10n });
  expect((await untilExited(node, main)).exitCode).to.equal(7);
  await node.runtime.stopPodSandbox({ podSandboxId });
  await node.runtime.removePodSandbox({ podSandboxId });
}

/** Waits until a log has grown, and expects each number once and in order. */
export async function expectWholeLog(made: MadePod): Promise<void> {
  const { length } = countedBy(made);
  await until(() => countedBy(made).length > length + 10, 20_000, "the log goes on");
  const counted = countedBy(made);
  expect(counted).to.deep.equal(counted.map((_, at) => at + 1));
}
