import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toJson } from "@bufbuild/protobuf";
import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import {
  ContainerState,
  ContainerStatusSchema,
  PodSandboxStatusSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import { logText, parseCriLog } from "../support/containers.ts";
import type { ContainerInit, SandboxInit } from "../support/pods.ts";
import { removeSources, writeSources } from "./fixtures.ts";
import { mapStrings } from "./plan.ts";
import type { ContainerCase, PodPlan } from "./plan.ts";
import { probeImage } from "./probe-image.ts";
import type { Side } from "./sides.ts";

/** How far a container came, and what it or the runtime said then. */
export interface Outcome {
  stage: "RunPodSandbox" | "CreateContainer" | "StartContainer" | "exited";
  /** gRPC code of the error. */
  code?: string;
  message?: string;
  /** What the probe printed; a text where it is no JSON, undefined without a log. */
  probe?: unknown;
  /** ContainerStatus as protobuf JSON, after the end. */
  status?: unknown;
  /** For texts that differ from run to run: what they are replaced by, longest first. */
  names: [string, string][];
}

export interface PodOutcome {
  sandbox: Outcome;
  containers: Map<string, Outcome>;
}

/** The kubelet's own. */
const timeoutMs = 120_000;

/** Runs a plan on one runtime and removes everything that it made. */
export async function runPlan(side: Side, plan: PodPlan): Promise<PodOutcome> {
  const home = join(side.folder, plan.name.replaceAll(/[^a-z0-9]+/gi, "-"));
  const sources = join(home, "src");
  mkdirSync(sources, { recursive: true });
  writeSources(sources);
  const logs = join(home, "log");
  mkdirSync(logs);
  mkdirSync(join(side.folder, "run"), { recursive: true });
  const names: [string, string][] = [
    [sources, "$SRC"],
    [logs, "$LOG"],
    [join(side.folder, "run"), "$RUN"],
  ];
  const place = (text: string): string =>
    text.replaceAll("$SRC", sources).replaceAll("$RUN", join(side.folder, "run"));
  const config = mapStrings(sandboxOf(plan, logs), place);
  const containers = new Map<string, Outcome>();
  try {
    let podSandboxId = "";
    try {
      const request = { config, runtimeHandler: plan.runtimeHandler ?? "" };
      ({ podSandboxId } = await patiently(() =>
        side.runtime.runPodSandbox(request, { timeoutMs }),
      ));
    } catch (error) {
      return { sandbox: { ...failed("RunPodSandbox", error), names }, containers };
    }
    const pod = { podSandboxId, config, names: [...names, ...idNames(podSandboxId, "<pod>")] };
    try {
      const { status } = await side.runtime.podSandboxStatus({ podSandboxId }, { timeoutMs });
      const shown = toJson(PodSandboxStatusSchema, status ?? create(PodSandboxStatusSchema));
      const address = status?.network?.ip ?? "";
      if (address !== "") pod.names.push([address, "<address>"]);
      const left = plan.containers.map((one) => one);
      const worker = async (): Promise<void> => {
        for (let one = left.shift(); one !== undefined; one = left.shift()) {
          containers.set(one.name, await runContainer(side, pod, mapped(one, place)));
        }
      };
      await Promise.all([worker(), worker()]);
      return { sandbox: { stage: "exited", status: shown, names: pod.names }, containers };
    } finally {
      await side.runtime.stopPodSandbox({ podSandboxId }, { timeoutMs });
      await side.runtime.removePodSandbox({ podSandboxId }, { timeoutMs });
    }
  } finally {
    removeSources(sources);
    rmSync(home, { recursive: true, force: true });
  }
}

const mapped = (one: ContainerCase, map: (text: string) => string): ContainerCase => ({
  ...one,
  container: mapStrings(one.container, map),
});

/** What RunPodSandbox is asked. */
export function sandboxOf(plan: PodPlan, logDirectory: string): SandboxInit {
  const name = plan.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  return {
    hostname: name.slice(0, 60),
    logDirectory,
    labels: { "io.kubernetes.pod.name": name },
    annotations: { "kubernetes.io/config.source": "file" },
    ...plan.sandbox,
    metadata: {
      name,
      namespace: "test",
      uid: `uid-${name}`,
      attempt: 0,
      ...plan.sandbox.metadata,
    },
  };
}

interface Pod {
  podSandboxId: string;
  config: SandboxInit;
  names: [string, string][];
}

async function runContainer(side: Side, pod: Pod, one: ContainerCase): Promise<Outcome> {
  const { podSandboxId } = pod;
  const config = containerOf(one);
  let containerId: string;
  try {
    const request = { podSandboxId, config, sandboxConfig: pod.config };
    ({ containerId } = await patiently(() => side.runtime.createContainer(request, { timeoutMs })));
  } catch (error) {
    return { ...failed("CreateContainer", error), names: pod.names };
  }
  const names = [...pod.names, ...idNames(containerId, "<container>")];
  try {
    try {
      await patiently(() => side.runtime.startContainer({ containerId }, { timeoutMs }));
    } catch (error) {
      return { ...failed("StartContainer", error), names };
    }
    const status = await untilExited(side, containerId);
    const log = join(pod.config.logDirectory ?? "", config.logPath ?? "");
    const probe = config.logPath === "" ? undefined : await readProbe(log);
    return { stage: "exited", probe, status, names };
  } finally {
    await removeContainer(side, containerId);
  }
}

/** UNAVAILABLE says nothing of the request: whoever asks comes again, as the kubelet does. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if ((error as ServiceError).code !== GrpcCode.UNAVAILABLE || attempt === 20) throw error;
      await sleep(1000);
    }
  }
}

/** While containerd is still busy with a start it refuses: "… is in starting state, can't be removed". */
async function removeContainer(side: Side, containerId: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await side.runtime.removeContainer({ containerId }, { timeoutMs });
      return;
    } catch (error) {
      const starting = /starting state/.test((error as ServiceError).details);
      if (side.name !== "containerd" || !starting || attempt === 100) throw error;
      await sleep(100);
    }
  }
}

/** What CreateContainer is asked. */
export function containerOf(one: ContainerCase): ContainerInit {
  const metadata = { name: one.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"), attempt: 0 };
  return {
    image: { image: probeImage },
    logPath: `${metadata.name}.log`,
    labels: { "io.kubernetes.container.name": metadata.name },
    annotations: { "io.kubernetes.container.hash": "abcd1234" },
    ...one.container,
    metadata: { ...metadata, ...one.container.metadata },
  };
}

async function untilExited(side: Side, containerId: string): Promise<unknown> {
  for (let waited = 0; ; waited += 30) {
    const { status } = await side.runtime.containerStatus({ containerId }, { timeoutMs });
    if (status?.state === ContainerState.CONTAINER_EXITED || waited > 20_000) {
      return toJson(ContainerStatusSchema, status ?? create(ContainerStatusSchema));
    }
    await sleep(30);
  }
}

/** What the probe printed: parsed, or as it is. */
async function readProbe(path: string): Promise<unknown> {
  let text = "";
  for (let attempt = 0; attempt < 40; attempt += 1) {
    if (existsSync(path)) {
      const lines = parseCriLog(readFileSync(path, "utf8"));
      text = logText(lines) + logText(lines, "stderr");
      try {
        return JSON.parse(text);
      } catch {
        // Not all of it yet, or not the probe's.
      }
    }
    await sleep(25);
  }
  return text;
}

function failed(stage: Outcome["stage"], error: unknown): Omit<Outcome, "names"> {
  const { code, details } = error as ServiceError;
  if (typeof code !== "number") throw error;
  return { stage, code: GrpcCode[code], message: details };
}

const idNames = (id: string, name: string): [string, string][] => [
  [id, name],
  [id.slice(0, 12), `${name.slice(0, -1)} short>`],
];
