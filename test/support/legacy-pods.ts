import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProcess } from "../../src/sys/process.ts";
import type { ContainerCreate } from "../../src/engine/types.ts";
import type { TestNode } from "./node.ts";
import { busybox } from "./test-images.ts";

/** The two lines of cri-dockerd: the older one mounted by Binds, the newer one by Mounts. */
export type LegacyLine = "binds" | "mounts";

export interface LegacyPod {
  sandboxId: string;
  containerId: string;
  name: string;
  ip: string;
  /** The symlink at the kubelet's log path. */
  logLink: string;
}

/** A pod as cri-dockerd left it running: names, labels, namespaces, CNI cache and log symlink. */
export async function makeLegacyPod(
  node: TestNode,
  line: LegacyLine,
  options: { hostNetwork?: boolean; image?: string; withoutCache?: boolean } = {},
): Promise<LegacyPod> {
  const uid = randomUUID();
  const name = `legacy-${uid.slice(0, 8)}`;
  const host = options.hostNetwork === true;
  const image = options.image ?? busybox;
  const labels = {
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": "test",
    "io.kubernetes.pod.uid": uid,
  };
  const pause: ContainerCreate = {
    Image: image,
    Hostname: host ? "" : name,
    Labels: {
      ...labels,
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.docker.type": "podsandbox",
      "annotation.kubernetes.io/config.source": "file",
    },
    Cmd: ["sleep", "100000"],
    HostConfig: {
      NetworkMode: host ? "host" : "none",
      IpcMode: "shareable",
      OomScoreAdj: 0,
      CpuShares: 2,
      SecurityOpt: ["no-new-privileges"],
    },
  };
  const { id: sandboxId } = await node.docker.createContainer(
    `k8s_POD_${name}_test_${uid}_0`,
    pause,
  );
  await node.docker.startContainer(sandboxId);
  const inspect = await node.docker.inspectContainer(sandboxId);
  const ip = host
    ? ""
    : await attach(node, {
        containerId: sandboxId,
        netns: `/proc/${inspect.State.Pid}/ns/net`,
        podName: name,
        keep: options.withoutCache !== true,
      });

  const logPath = join(node.logDir, `test_${name}_${uid}`, "main", "0.log");
  const folder = join(node.folder, name);
  mkdirSync(folder, { recursive: true });
  const { id: containerId } = await node.docker.createContainer(`k8s_main_${name}_test_${uid}_0`, {
    Image: image,
    Entrypoint: ["sh", "-c"],
    Cmd: ["echo legacy; sleep 100000"],
    Labels: {
      ...labels,
      "io.kubernetes.container.name": "main",
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": sandboxId,
      "io.kubernetes.container.logpath": logPath,
      "annotation.io.kubernetes.container.hash": "abcd1234",
      "annotation.io.kubernetes.container.restartCount": "0",
    },
    HostConfig: {
      NetworkMode: `container:${sandboxId}`,
      IpcMode: `container:${sandboxId}`,
      ...(host ? { UTSMode: "host" } : {}),
      RestartPolicy: { Name: "no" },
      ...(line === "binds"
        ? { Binds: [`${folder}:/data:ro`] }
        : { Mounts: [{ Type: "bind", Source: folder, Target: "/data", ReadOnly: true }] }),
    },
  });
  await node.docker.startContainer(containerId);
  mkdirSync(join(logPath, ".."), { recursive: true });
  return { sandboxId, containerId, name, ip, logLink: logPath };
}

/** ADD by this node's conflist, as libcni runs it, and the file that libcni keeps of it. */
async function attach(
  node: TestNode,
  pod: { containerId: string; netns: string; podName: string; keep: boolean },
): Promise<string> {
  const file = join(node.cniConfDir, "10-test.conflist");
  const text = readFileSync(file, "utf8");
  const list = JSON.parse(text) as {
    name: string;
    cniVersion: string;
    plugins: Record<string, unknown>[];
  };
  const args = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", "test"],
    ["K8S_POD_NAME", pod.podName],
    ["K8S_POD_INFRA_CONTAINER_ID", pod.containerId],
  ];
  let result: { ips?: { address: string }[] } | undefined;
  for (const plugin of list.plugins) {
    const config = {
      ...plugin,
      name: list.name,
      cniVersion: list.cniVersion,
      ...(result === undefined ? {} : { prevResult: result }),
      ...(plugin["capabilities"] === undefined ? {} : { runtimeConfig: { portMappings: [] } }),
    };
    const ran = await runProcess(`/usr/lib/cni/${String(plugin["type"])}`, [], {
      timeoutMs: 20_000,
      stdin: JSON.stringify(config),
      env: {
        PATH: process.env["PATH"] ?? "",
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netns,
        CNI_IFNAME: "eth0",
        CNI_ARGS: args.map((pair) => pair.join("=")).join(";"),
        CNI_PATH: "/usr/lib/cni",
      },
    });
    if (ran.exitCode !== 0) throw new Error(`CNI ADD: ${ran.stdout} ${ran.stderr}`);
    result = JSON.parse(ran.stdout) as typeof result;
  }
  if (pod.keep) {
    const folder = join(node.folder, "cni-cache", "results");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `${list.name}-${pod.containerId}-eth0`),
      JSON.stringify({
        kind: "cniCacheV1",
        containerId: pod.containerId,
        config: Buffer.from(text).toString("base64"),
        ifName: "eth0",
        networkName: list.name,
        cniArgs: args,
        capabilityArgs: { portMappings: [] },
        result,
      }),
    );
  }
  return (result?.ips?.[0]?.address ?? "").replace(/\/.*/, "");
}
