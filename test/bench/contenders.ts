import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { bridgeConflist, removeBridge } from "../support/node-network.ts";
import { busybox } from "../support/test-images.ts";
import { BenchClient, buildClient } from "./client.ts";
import { ContainerdPeer } from "./containerd-peer.ts";
import { DocklineUnderTest } from "./dockline.ts";
import type { BenchEngine } from "./engine.ts";
import type { ProcessTable } from "./processes.ts";
import { RawNodeSubject } from "./raw-node.ts";
import { criSubject, rawGoSubject } from "./subjects.ts";
import type { RawPod, Subject } from "./subjects.ts";

export interface GivenEndpoint {
  name: string;
  endpoint: string;
  processes: ProcessTable;
}

/** Everybody who takes part, and how they are cleared away again. */
export interface Contenders {
  readonly subjects: Subject[];
  readonly dockline: DocklineUnderTest;
  readonly client: BenchClient;
  close(): Promise<void>;
}

/** Names of the bridges: short, and nobody else's. */
const bridges = { engine: "dlbench0", peer: "dlbench1" };

const cgroupFolder = "dockline-bench";

export function prepareNetwork(folder: string): { engine: string; peer: string } {
  const folders = { engine: join(folder, "cni"), peer: join(folder, "cni-peer") };
  for (const who of ["engine", "peer"] as const) {
    mkdirSync(folders[who], { recursive: true });
    const dataDir = join(folder, "addresses");
    bridgeConflist(folders[who], { bridge: bridges[who], dataDir });
  }
  return folders;
}

export async function bringUp(options: {
  folder: string;
  engine: BenchEngine;
  bodies: Pick<RawPod, "bodies" | "oldId">;
  withPeer: boolean;
  given: GivenEndpoint[];
}): Promise<Contenders> {
  const { folder, engine, bodies } = options;
  const cni = prepareNetwork(folder);
  const cgroupRoot = engine.cgroupDriver === "cgroupfs" ? `/${cgroupFolder}` : "";
  const client = new BenchClient(buildClient());
  const dockline = new DocklineUnderTest({
    folder: join(folder, "dockline"),
    engineSocket: engine.socket,
    cniConfDir: cni.engine,
  });
  const undo: (() => Promise<void> | void)[] = [
    () => client.close(),
    () => removeBridge(bridges.engine),
    () => removeBridge(bridges.peer),
    () => dockline.end("SIGTERM"),
  ];
  const subjects: Subject[] = [];
  const close = async (): Promise<void> => {
    for (const subject of subjects) {
      // An interrupted run's pods: through their runtime, or their addresses would stay taken.
      await subject.run({ op: "clear", parallel: 4 }).catch(() => undefined);
    }
    for (const step of undo.reverse()) await step();
    removeContainers(engine.socket);
    removeCgroups();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    dockline.start();
    await dockline.untilReady();
    const engineProcesses = (): ProcessTable => engine.processes;
    const pod: RawPod = { ...bodies, cni: chainOf(cni.engine) };
    const node = new RawNodeSubject({
      engineSocket: engine.socket,
      cniConfDir: cni.engine,
      pod,
      processes: engineProcesses,
    });
    undo.push(() => node.close());
    subjects.push(
      criSubject({
        name: "dockline",
        endpoint: dockline.endpoint,
        client,
        image: busybox,
        logDir: dockline.logDir,
        cgroupRoot,
        processes: () => new Map([["dockline", dockline.pid], ...engine.processes]),
      }),
      rawGoSubject({ engineSocket: engine.socket, client, pod, processes: engineProcesses }),
      node,
    );
    if (options.withPeer) {
      const peer = new ContainerdPeer({
        folder: join(folder, "peer"),
        cniConfDir: cni.peer,
        runc: engine.runc,
      });
      undo.push(() => peer.close());
      await peer.start(busybox);
      subjects.splice(
        1,
        0,
        criSubject({
          name: "containerd",
          endpoint: peer.endpoint,
          client,
          image: busybox,
          logDir: peer.logDir,
          cgroupRoot,
          processes: () => new Map([["containerd", peer.pid]]),
        }),
      );
    }
    for (const { name, endpoint, processes } of options.given) {
      const logDir = join(folder, "given", name);
      const subject = { name, endpoint, client, image: busybox, logDir, cgroupRoot };
      subjects.push(criSubject({ ...subject, processes: () => processes }));
    }
    return { subjects, dockline, client, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function chainOf(confDir: string): RawPod["cni"] {
  const conflist = JSON.parse(readFileSync(join(confDir, "10-test.conflist"), "utf8")) as {
    cniVersion: string;
    name: string;
    plugins: object[];
  };
  const { cniVersion: version, name, plugins } = conflist;
  return { binDir: "/usr/lib/cni", name, version, plugins };
}

/** The pods' own cgroups: a kubelet would remove them. */
function removeCgroups(): void {
  const root = "/sys/fs/cgroup";
  const trees = [root, ...readdirSync(root).map((name) => join(root, name))];
  for (const tree of trees
    .map((each) => join(each, cgroupFolder))
    .filter((each) => existsSync(each))) {
    const pods = readdirSync(tree, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const folder of [...pods.map(({ name }) => join(tree, name)), tree]) {
      try {
        rmdirSync(folder);
      } catch {
        // Somebody is still in it: not ours to end.
      }
    }
  }
}

/** What an interrupted run left: their names are the benchmark's own. */
function removeContainers(engineSocket: string): void {
  const host = ["-H", `unix://${engineSocket}`];
  const ids = execFileSync(
    "docker",
    [...host, "ps", "-aq", "--filter", "name=^/rawbench_", "--filter", "name=_bench_bench"],
    {
      encoding: "utf8",
    },
  );
  for (const id of ids.split("\n").filter((line) => line !== "")) {
    execFileSync("docker", [...host, "rm", "-fv", id], { stdio: "ignore" });
  }
}
