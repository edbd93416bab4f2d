import { expect } from "chai";
import { parseTimeNs } from "../../src/convert/time.ts";
import type { ContainerSummary } from "../../src/engine/types.ts";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import type { TestNode } from "./node.ts";

const states: Readonly<Record<string, ContainerState>> = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
};

/** Ids and states, sorted: what a list says. */
export type Listed = Record<string, string>;

/** What Dockline's lists say. */
export async function listedByDockline({ runtime }: TestNode): Promise<Listed> {
  const [{ containers }, { items }] = await Promise.all([
    runtime.listContainers({}),
    runtime.listPodSandbox({}),
  ]);
  return sorted([
    ...containers.map(({ id, state }) => [id, ContainerState[state]] as const),
    ...items.map(({ id, state }) => [id, PodSandboxState[state]] as const),
  ]);
}

/** What the engine's own list says, in the CRI's words. */
export async function listedByDocker(node: TestNode): Promise<Listed> {
  return sorted((await summaries(node)).map((summary) => [summary.Id, wordOf(summary)] as const));
}

export async function expectListsAgree(node: TestNode): Promise<void> {
  expect(await listedByDockline(node)).to.deep.equal(await listedByDocker(node));
}

/** As above, as soon as events and reconcile have brought it about. */
export async function untilListsAgree(node: TestNode, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      await expectListsAgree(node);
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Status of every container against the engine's inspect: state, exit code and times. */
export async function expectStatusesAgree(node: TestNode): Promise<void> {
  for (const { Id, Labels } of await summaries(node)) {
    if (Labels?.["io.kubernetes.docker.type"] !== "container") continue;
    const { status } = await node.runtime.containerStatus({ containerId: Id });
    const { State, Created } = await node.docker.inspectContainer(Id);
    const exited = State.Status === "exited";
    // The engine notes a start after it began: an end may come before, which the CRI never says.
    const started = State.Status === "created" ? 0n : parseTimeNs(State.StartedAt);
    const finished = exited ? parseTimeNs(State.FinishedAt) : 0n;
    expect({
      state: status?.state,
      createdAt: status?.createdAt,
      startedAt: status?.startedAt,
      finishedAt: status?.finishedAt,
      exitCode: status?.exitCode,
      oomKilled: status?.reason === "OOMKilled",
    }).to.deep.equal({
      state: states[State.Status],
      createdAt: parseTimeNs(Created),
      startedAt: exited && started > finished ? finished : started,
      finishedAt: finished,
      exitCode: exited ? State.ExitCode : 0,
      oomKilled: exited && State.OOMKilled,
    });
  }
}

async function summaries(node: TestNode): Promise<ContainerSummary[]> {
  return await node.docker.listContainers(["io.kubernetes.docker.type"]);
}

function wordOf({ Labels, State }: ContainerSummary): string {
  if (Labels?.["io.kubernetes.docker.type"] !== "podsandbox") {
    return ContainerState[states[State] ?? ContainerState.CONTAINER_UNKNOWN];
  }
  return PodSandboxState[
    State === "running" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY
  ];
}

function sorted(pairs: (readonly [string, string])[]): Listed {
  return Object.fromEntries([...pairs].sort(([a], [b]) => (a < b ? -1 : 1)));
}
