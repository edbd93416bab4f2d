import { createContainerIndex } from "../../../src/index/create-index.ts";
import type {
  Change,
  ContainerEntry,
  ContainerIndex,
  IndexDeps,
} from "../../../src/index/container-index.ts";
import type { ContainerCreate } from "../../../src/engine/types.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { silentLogger } from "../../../src/log.ts";
import { AUTHORITATIVE_LABEL } from "../../../src/convert/labels.ts";
import { FakeDocker } from "../../support/fake-docker.ts";
import { CriError } from "../../../src/errors.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";

export const IMAGE = "busybox:1";

export interface Rig {
  clock: VirtualClock;
  docker: FakeDocker;
  engine: Engine;
  index: ContainerIndex;
  changes: Change[];
  /** Docker requests of one method so far. */
  asked(method: keyof Engine): number;
}

/** A started index over a fake engine, in virtual time. */
export async function rig(options: Partial<IndexDeps> = {}): Promise<Rig> {
  const clock = new VirtualClock();
  const docker = new FakeDocker({ nowNs: () => clock.nowNs() });
  docker.images.add({ references: [IMAGE] });
  const engine = docker.asEngine();
  const index = createContainerIndex({ engine, clock, log: silentLogger, ...options });
  const changes: Change[] = [];
  index.onChange((change) => changes.push(change));
  index.start();
  await clock.advance(20);
  return {
    clock,
    docker,
    engine,
    index,
    changes,
    asked: (method) => docker.requests.get(method) ?? 0,
  };
}

export function podName(pod: string, attempt = 0): string {
  return `k8s_POD_${pod}_default_uid-${pod}_${attempt}`;
}

export function containerName(name: string, pod: string, attempt = 0): string {
  return `k8s_${name}_${pod}_default_uid-${pod}_${attempt}`;
}

/** What an own create would send, as far as the index reads it. */
export function createBody(name: string, podSandboxId?: string): ContainerCreate {
  const kind = podSandboxId === undefined ? "podsandbox" : "container";
  const identity = {
    v: 1,
    name,
    kind,
    labels: { app: name },
    annotations: {},
    runtimeHandler: "",
    logPath: "",
    ...(podSandboxId === undefined ? {} : { podSandboxId }),
  };
  return {
    Image: IMAGE,
    Labels: { [AUTHORITATIVE_LABEL]: JSON.stringify(identity) },
    HostConfig: {},
  };
}

/** The pods and containers of a rig, by the engine's own hand (as another client would). */
export function addPod(
  docker: FakeDocker,
  pod: string,
): { sandboxId: string; containerId: string } {
  const sandboxId = docker.create(podName(pod), createBody(podName(pod))).id;
  docker.start(sandboxId);
  const name = containerName("main", pod);
  return { sandboxId, containerId: docker.create(name, createBody(name, sandboxId)).id };
}

export function idOf(entry: ContainerEntry): string {
  return entry.id;
}

export function totalRequests({ docker }: Rig): number {
  return [...docker.requests.values()].reduce((sum, count) => sum + count, 0);
}

/** The CriError with which it fails. */
export async function failure(work: Promise<unknown>): Promise<CriError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CriError)) throw new Error(`no CriError but ${String(error)}`);
  return error;
}

/** Virtual milliseconds until the answer, to the nearest 10 above. */
export async function elapsed({ clock }: Rig, work: Promise<unknown>): Promise<number> {
  const startMs = clock.monotonicMs();
  const progress = { done: false };
  const finished = work.finally(() => (progress.done = true));
  for (let turn = 0; turn < 3; turn += 1) await settle();
  while (!progress.done && clock.monotonicMs() - startMs < 20_000) await clock.advance(10);
  await finished;
  return clock.monotonicMs() - startMs;
}

export async function statuses(
  r: Rig,
  work: Promise<readonly ContainerEntry[]>,
): Promise<string[]> {
  await elapsed(r, work);
  return (await work).map((entry) => entry.state.Status);
}
