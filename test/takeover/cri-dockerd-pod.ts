import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Engine } from "../../src/engine/engine.ts";
import type { ContainerCreate, HostConfig } from "../../src/engine/types.ts";
import { pauseImageArchive } from "../../src/images/pause-image.ts";
import { pauseProgram } from "../../src/images/pause-program.ts";
import { busybox } from "../support/test-images.ts";
import { exitCodeOf } from "../support/until.ts";
import { addNetwork } from "./cri-dockerd-network.ts";

/** The numbering's two lines: 0.3 (and 0.4.2, 0.4.3) mounts by Binds, 0.4 (0.4.0, 0.4.1) by Mounts. */
export type Line = "0.3" | "0.4";

/** Folders of the cri-dockerd that is played, and of the kubelet above it. */
export interface Places {
  /** The kubelet's cgroupRoot, as a path within each hierarchy; "systemd" is that driver's root. */
  cgroupRoot: string;
  root: string;
  cniCache: string;
  confFile: string;
  podLogs: string;
  pauseImage: string;
}

export interface PodSpec {
  line: Line;
  /** As the kubelet names a static pod: with the node's name. */
  name: string;
  namespace: string;
  uid: string;
  hostPort?: number;
  hostNetwork?: boolean;
  containers: {
    name: string;
    shell: string;
    /** The container's attempt, which is its restart count too. */
    attempt?: number;
    /** Host folder → place in the container. */
    mounts?: { source: string; target: string; readOnly: boolean }[];
    ports?: boolean;
    /** It ends by itself and is waited for. */
    ends?: boolean;
  }[];
}

export interface MadePod {
  id: string;
  pid: number;
  /** "" on the host's network. */
  ip: string;
  /** By name and attempt: "main/1". */
  containers: Record<string, string>;
  logs: Record<string, string>;
}

/**
 * A pod exactly as cri-dockerd leaves it on a node, made without any code of Dockline's: names,
 * labels, checkpoint, CNI result and log links as the real one (v0.4.3) was seen to write them.
 */
export async function makeCriDockerdPod(
  docker: Engine,
  places: Places,
  pod: PodSpec,
): Promise<MadePod> {
  const { name, namespace, uid } = pod;
  const podLabels = {
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": namespace,
    "io.kubernetes.pod.uid": uid,
  };
  const runtime = {
    ...(pod.line === "0.4" ? { Runtime: "runc" } : {}),
    CgroupParent: makePodCgroup(places.cgroupRoot, uid),
  };
  const published = pod.hostPort === undefined ? {} : { "8080/tcp": {} };
  const { id } = await docker.createContainer(`k8s_POD_${name}_${namespace}_${uid}_0`, {
    Image: places.pauseImage,
    ...(pod.hostNetwork === true ? {} : { Hostname: name }),
    ExposedPorts: published,
    Labels: {
      ...podLabels,
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.docker.type": "podsandbox",
      "annotation.kubernetes.io/config.source": "file",
      "annotation.kubernetes.io/config.hash": uid,
    },
    HostConfig: {
      ...runtime,
      NetworkMode: pod.hostNetwork === true ? "host" : "none",
      IpcMode: "shareable",
      CpuShares: 2,
      SecurityOpt: ["no-new-privileges"],
      PortBindings:
        pod.hostPort === undefined
          ? {}
          : { "8080/tcp": [{ HostIp: "", HostPort: String(pod.hostPort) }] },
    },
  });
  writeCheckpoint(places, pod, id);
  await docker.startContainer(id);
  const { State } = await docker.inspectContainer(id);
  const made: MadePod = { id, pid: State.Pid, ip: "", containers: {}, logs: {} };
  if (pod.hostNetwork !== true) made.ip = addNetwork(places, pod, id, State.Pid);
  for (const container of pod.containers) {
    const attempt = container.attempt ?? 0;
    const key = `${container.name}/${attempt}`;
    const log = join(
      places.podLogs,
      `${namespace}_${name}_${uid}`,
      container.name,
      `${attempt}.log`,
    );
    const mounts = container.mounts ?? [];
    const volumes: HostConfig =
      pod.line === "0.3"
        ? {
            Binds: mounts.map(
              ({ source, target, readOnly }) => `${source}:${target}${readOnly ? ":ro" : ""}`,
            ),
          }
        : {
            Mounts: mounts.map(({ source, target, readOnly }) => ({
              Type: "bind",
              Source: source,
              Target: target,
              ReadOnly: readOnly,
              BindOptions: { CreateMountpoint: true },
            })),
          };
    const body: ContainerCreate = {
      Image: (await docker.inspectImage(busybox)).Id,
      Entrypoint: ["sh", "-c", container.shell],
      Healthcheck: { Test: ["NONE"] },
      Labels: {
        ...podLabels,
        "io.kubernetes.container.name": container.name,
        "io.kubernetes.docker.type": "container",
        "io.kubernetes.sandbox.id": id,
        "io.kubernetes.container.logpath": log,
        "annotation.io.kubernetes.container.hash": containerHash(container.name, busybox),
        "annotation.io.kubernetes.container.restartCount": String(attempt),
        "annotation.io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "annotation.io.kubernetes.container.terminationMessagePolicy": "File",
        "annotation.io.kubernetes.pod.terminationGracePeriod": "1",
      },
      HostConfig: {
        ...runtime,
        ...volumes,
        NetworkMode: `container:${id}`,
        IpcMode: `container:${id}`,
        ...(pod.hostNetwork === true ? { UTSMode: "host" } : {}),
        SecurityOpt: ["seccomp=unconfined"],
        RestartPolicy: { Name: "no" },
      },
    };
    const dockerName = `k8s_${container.name}_${name}_${namespace}_${uid}_${attempt}`;
    const created = await docker.createContainer(dockerName, body);
    await docker.startContainer(created.id);
    const { LogPath } = await docker.inspectContainer(created.id);
    mkdirSync(dirname(log), { recursive: true });
    symlinkSync(LogPath, log);
    if (container.ends === true) await exitCodeOf(docker, created.id);
    made.containers[key] = created.id;
    made.logs[key] = log;
  }
  return made;
}

/** The pause image under the name that cri-dockerd has for it. */
export async function loadPauseImage(docker: Engine, reference: string): Promise<void> {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const binary = await pauseProgram(architecture);
  await docker.loadImage(pauseImageArchive({ binary, architecture, reference }));
}

/** The kubelet kills what runs in a pod whose cgroup it does not find. */
function makePodCgroup(root: string, uid: string): string {
  // By its last part alone; systemd makes the slices above it when the first container starts.
  if (root === "systemd") return `kubepods-besteffort-pod${uid.replaceAll("-", "_")}.slice`;
  const parts = [root.slice(1), "kubepods", "besteffort", `pod${uid}`];
  const top = "/sys/fs/cgroup";
  const unified = existsSync(join(top, "cgroup.controllers"));
  const hierarchies = unified ? [top] : readdirSync(top).map((name) => join(top, name));
  for (const hierarchy of hierarchies) {
    if (!existsSync(join(hierarchy, "cgroup.procs"))) continue;
    let folder = hierarchy;
    for (const part of parts) {
      const parent = folder;
      folder = join(parent, part);
      mkdirSync(folder, { recursive: true });
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        // A new cpuset of cgroup v1 is empty, and nothing can run in it.
        if (!unified && existsSync(join(parent, file))) {
          writeFileSync(join(folder, file), readFileSync(join(parent, file)));
        }
      }
    }
  }
  return `/${parts.join("/")}`;
}

/** What the kubelet (1.31 to 1.36) writes as a container's hash; another one restarts the container. */
export function containerHash(name: string, image: string): string {
  const bytes = Buffer.from(JSON.stringify({ image, name }));
  const text = `([]uint8)[${[...bytes].join(" ")}]`;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}

/** Checksums of the two forms that are used here, as cri-dockerd v0.4.3 wrote them. */
const checksums: Readonly<Record<string, number>> = {
  "{}": 2305795928,
  '{"host_network":true}': 12315789,
  '{"port_mappings":[{"protocol":"tcp","container_port":8080,"host_port":38080}]}': 2272486456,
};

function writeCheckpoint(places: Places, pod: PodSpec, id: string): void {
  const data = JSON.stringify({
    port_mappings:
      pod.hostPort === undefined
        ? undefined
        : [{ protocol: "tcp", container_port: 8080, host_port: pod.hostPort }],
    host_network: pod.hostNetwork === true ? true : undefined,
  });
  const folder = join(places.root, "sandbox");
  mkdirSync(folder, { recursive: true });
  const head = JSON.stringify({ version: "v1", name: pod.name, namespace: pod.namespace });
  // A port without a vector gets a wrong checksum: a node taken over has such files as well.
  const text = `${head.slice(0, -1)},"data":${data},"checksum":${checksums[data] ?? 1}}`;
  writeFileSync(join(folder, id), text, { mode: 0o600 });
}
