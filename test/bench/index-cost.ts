import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { toBinary } from "@bufbuild/protobuf";
import { AUTHORITATIVE_LABEL } from "../../src/convert/labels.ts";
import { isContainer } from "../../src/convert/container-facts.ts";
import { toContainer } from "../../src/convert/container-out.ts";
import type { ContainerCreate } from "../../src/engine/types.ts";
import { ContainerSchema } from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../../src/index/container-index.ts";
import { createContainerIndex } from "../../src/index/create-index.ts";
import { silentLogger } from "../../src/log.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { FakeDocker } from "../support/fake-docker.ts";
import { until } from "../support/until.ts";

const containers = Number(process.env["DOCKLINE_BENCH_CONTAINERS"] ?? "5000");
const images = Number(process.env["DOCKLINE_BENCH_IMAGES"] ?? "10000");
const perPod = 5;

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const mean = (values: number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** What a kubelet sends for an ordinary container, as the label that Dockline writes. */
function bodyOf(name: string, pod: number, sandboxId?: string): ContainerCreate {
  const uid = `6f1f8e0a-0000-4000-8000-${String(pod).padStart(12, "0")}`;
  const identity = {
    v: 1,
    name,
    kind: sandboxId === undefined ? "podsandbox" : "container",
    labels: {
      "io.kubernetes.container.name": "main",
      "io.kubernetes.pod.name": `web-5d4f8c7b9-${pod}`,
      "io.kubernetes.pod.namespace": "default",
      "io.kubernetes.pod.uid": uid,
    },
    annotations: {
      "io.kubernetes.container.hash": "a1b2c3d4",
      "io.kubernetes.container.restartCount": "0",
      "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
      "io.kubernetes.container.terminationMessagePolicy": "File",
      "io.kubernetes.pod.terminationGracePeriod": "30",
    },
    runtimeHandler: "",
    logPath: `/var/log/pods/default_web-5d4f8c7b9-${pod}_${uid}/main/0.log`,
    ...(sandboxId === undefined ? {} : { podSandboxId: sandboxId }),
  };
  return {
    Image: "busybox:1",
    Env: Array.from(
      { length: 30 },
      (_, n) => `KUBERNETES_SERVICE_VARIABLE_${n}=tcp://10.96.0.${n}:443`,
    ),
    Labels: { [AUTHORITATIVE_LABEL]: JSON.stringify(identity) },
    HostConfig: {
      CgroupParent: `/kubepods/burstable/pod${uid}`,
      NetworkMode: `container:${sandboxId ?? ""}`,
    },
  };
}

function fill(docker: FakeDocker): void {
  docker.images.add({ references: ["busybox:1"] });
  for (let pod = 0; docker.containers.size < containers; pod += 1) {
    const name = (container: string): string => `k8s_${container}_web-${pod}_default_uid-${pod}_0`;
    const { id } = docker.create(name("POD"), bodyOf(name("POD"), pod));
    docker.start(id);
    for (let member = 1; member < perPod; member += 1) {
      const made = docker.create(name(`c${member}`), bodyOf(name(`c${member}`), pod, id));
      docker.start(made.id);
      // Most of so many have ended, as on a node with jobs.
      if (member > 1) docker.exit(made.id, 0);
    }
  }
}

/** Bytes in use after collections, which Node offers by a flag only. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < 3; round += 1) collect();
  return process.memoryUsage().heapUsed;
}

const indexOf = (docker: FakeDocker): ContainerIndex =>
  createContainerIndex({ engine: docker.asEngine(), clock: systemClock, log: silentLogger });

/** Milliseconds that one change and the reads after it take, as with evented PLEG. */
async function oneChange(index: ContainerIndex): Promise<number[]> {
  const all = (await index.containers()).filter(({ state }) => state.Running);
  const times: number[] = [];
  for (let round = 0; round < 200; round += 1) {
    const entry = all[round % all.length];
    if (entry?.identity.kind !== "container") continue;
    const startedMs = performance.now();
    index.touchedRecord(entry.id);
    index.peekMembers(entry.identity.podSandboxId);
    times.push(performance.now() - startedMs);
  }
  return times;
}

function encodedBytes(entry: ContainerEntry): number {
  if (!isContainer(entry)) return 0;
  return toBinary(ContainerSchema, toContainer(entry, undefined)).length;
}

async function containerCost(): Promise<string[]> {
  const docker = new FakeDocker();
  fill(docker);
  const before = heapBytes();
  const index = indexOf(docker);
  const startedMs = performance.now();
  index.start();
  await until(() => index.health.synced, 60_000, "the first list");
  const syncedMs = performance.now() - startedMs;
  const ids = [...docker.containers.keys()];
  const isWhole = (): boolean => ids.every((id) => index.peek(id)?.dirty === false);
  await until(isWhole, 120_000, "every inspect");
  const heap = (heapBytes() - before) / containers;
  const entries = await index.containers();
  const encoded = entries.map(encodedBytes);
  const change = median(await oneChange(index));
  await index.close();
  return [
    `${containers} containers: first list ${syncedMs.toFixed(0)} ms`,
    `one change and the read of its pod: ${change.toFixed(4)} ms (limit 0.1)`,
    `heap for a container: ${heap.toFixed(0)} bytes, ${mean(encoded).toFixed(0)} of them are what it is encoded as (limit: 2048 beyond)`,
  ];
}

async function imageCost(): Promise<string[]> {
  const docker = new FakeDocker();
  for (let n = 0; n < images; n += 1) docker.images.add({ references: [], digests: [`d${n}`] });
  let number = 0;
  for (const { tags } of docker.images.byId.values()) tags.add(`registry.test/app${number++}:1`);
  let inspects = 0;
  docker.hooks.before = ({ method }) => {
    if (method !== "inspectImage") return undefined;
    inspects += 1;
    return systemClock.sleep(5);
  };
  const index = indexOf(docker);
  index.start();
  await until(() => index.health.synced, 60_000, "the first list");
  const listStartedMs = performance.now();
  const listed = await index.images.list();
  const listMs = performance.now() - listStartedMs;
  const findStartedMs = performance.now();
  const found = await index.images.find(`registry.test/app${images - 1}:1`);
  const findMs = performance.now() - findStartedMs;
  if (listed.length !== images || found === undefined) throw new Error("an image is missing");
  const seen = inspects;
  await systemClock.sleep(3_000);
  const rate = (inspects - seen) / 3;
  await index.close();
  return [
    `${images} images: ListImages ${listMs.toFixed(0)} ms after the start, ImageStatus ${findMs.toFixed(0)} ms`,
    `image inspects in the background: ${rate.toFixed(1)} a second (limit 50)`,
  ];
}

/** What the index costs on a fake engine, where nothing else does. */
export async function benchIndex(): Promise<string[]> {
  return [...(await containerCost()), ...(await imageCost())];
}
