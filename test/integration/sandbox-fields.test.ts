import { readFileSync, readlinkSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { LinuxSandboxSecurityContextSchema } from "../../src/gen/runtime/v1/api_pb.js";
import {
  NamespaceMode,
  PodSandboxState,
  SecurityProfile_ProfileType,
} from "../../src/gen/runtime/v1/api_pb.js";
import { works } from "../support/fields.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing, nodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  sleepingMember,
  startContainer,
} from "../support/pods.ts";
import type { SandboxInit } from "../support/pods.ts";

type SandboxSecurity = MessageInitShape<typeof LinuxSandboxSecurityContextSchema>;

describe("a sandbox's fields", () => {
  let node: TestNode;

  before(async () => {
    node = await startNode();
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  const withSecurity = (securityContext: SandboxSecurity, fields: SandboxInit = {}): SandboxInit =>
    sandboxConfig(node, { ...fields, linux: { securityContext } });
  const pidOf = async (id: string): Promise<number> =>
    (await node.docker.inspectContainer(id)).State.Pid;
  const namespaceOf = async (id: string, kind: string): Promise<string> =>
    readlinkSync(`/proc/${await pidOf(id)}/ns/${kind}`);
  const hostNamespace = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);
  const procStatus = async (id: string, key: string): Promise<string> =>
    new RegExp(`^${key}:\\s*(.*)$`, "m").exec(
      readFileSync(`/proc/${await pidOf(id)}/status`, "utf8"),
    )?.[1] ?? "";

  it("the host's network, process ids and IPC are joined, and reported as asked", async () => {
    works("NamespaceOption.network=NODE", "NamespaceOption.pid=NODE", "NamespaceOption.ipc=NODE");
    const options = {
      network: NamespaceMode.NODE,
      pid: NamespaceMode.NODE,
      ipc: NamespaceMode.NODE,
    };
    const pod = await runPod(node, withSecurity({ namespaceOptions: options }, { hostname: "" }));
    const id = await sleepingMember(node, pod, NamespaceMode.NODE);
    for (const kind of ["net", "pid", "ipc", "uts"]) {
      expect(await namespaceOf(id, kind), kind).to.equal(hostNamespace(kind));
    }
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.linux?.namespaces?.options).to.include(options);
    expect(status?.network).to.deep.include({ ip: "", additionalIps: [] });
    expect(nodeState(node).addresses).to.deep.equal([]);
    await removePod(node, pod);
  });

  it("an own network, IPC and process ids for each container are the rule", async () => {
    works(
      "NamespaceOption.network=POD",
      "NamespaceOption.pid=CONTAINER",
      "NamespaceOption.ipc=POD",
    );
    const pod = await runPod(node);
    const first = await sleepingMember(node, pod);
    const config = containerConfig("sleep 1000", { metadata: { name: "second" } });
    const second = await startContainer(node, pod, config);
    for (const kind of ["net", "ipc"]) {
      expect(await namespaceOf(first, kind), kind)
        .to.equal(await namespaceOf(pod.podSandboxId, kind))
        .and.not.equal(hostNamespace(kind));
    }
    const pids = await Promise.all([first, second].map((id) => namespaceOf(id, "pid")));
    expect(new Set([...pids, hostNamespace("pid")]).size).to.equal(3);
    await removePod(node, pod);
  });

  it("process ids shared in the pod are pause's", async () => {
    works("NamespaceOption.pid=POD");
    const namespaceOptions = { pid: NamespaceMode.POD };
    const pod = await runPod(node, withSecurity({ namespaceOptions }));
    const id = await sleepingMember(node, pod, NamespaceMode.POD);
    expect(await namespaceOf(id, "pid")).to.equal(await namespaceOf(pod.podSandboxId, "pid"));
    expect(await shell(node, id, "cat /proc/1/cmdline")).to.include("pause");
    await removePod(node, pod);
  });

  it("a pod's group without a user starts no other way: pause does without it", async () => {
    const pod = await runPod(
      node,
      withSecurity({ runAsGroup: { value: 107n }, supplementalGroups: [2000n] }),
    );
    const { Pid } = (await node.docker.inspectContainer(pod.podSandboxId)).State;
    const status = readFileSync(`/proc/${Pid}/status`, "utf8");
    expect(status)
      .to.match(/^Groups:.*\b2000\b/m)
      .and.not.match(/^Gid:\t107\t/m);
    const refused = await createContainer(node, pod, {
      ...containerConfig("true"),
      linux: { securityContext: { runAsGroup: { value: 107n } } },
    }).then(String, String);
    expect(refused).to.include("run_as_group: needs run_as_user or run_as_username");
    await removePod(node, pod);
  });

  it("sysctls are those of the pod's namespaces", async () => {
    works("LinuxPodSandboxConfig.sysctls");
    const sysctls = { "net.ipv4.ip_unprivileged_port_start": "0", "kernel/msgmax": "65000" };
    const pod = await runPod(node, sandboxConfig(node, { linux: { sysctls } }));
    const id = await sleepingMember(node, pod);
    const seen = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    expect(await shell(node, id, seen)).to.equal("0\n65000");
    expect(readFileSync("/proc/sys/kernel/msgmax", "utf8")).to.not.equal("65000\n");
    await removePod(node, pod);
  });

  it("the cgroup is the pod's", async () => {
    works("LinuxPodSandboxConfig.cgroup_parent");
    const systemd = (await node.docker.info()).CgroupDriver === "systemd";
    const name = `dockline-test-${process.pid}`;
    const cgroupParent = systemd ? `/${name}.slice` : `/kubepods/burstable/${name}`;
    const pod = await runPod(node, sandboxConfig(node, { linux: { cgroupParent } }));
    const id = await sleepingMember(node, pod);
    for (const one of [id, pod.podSandboxId]) {
      const cgroup = readFileSync(`/proc/${await pidOf(one)}/cgroup`, "utf8");
      expect(cgroup).to.include(`${cgroupParent}/`);
    }
    await removePod(node, pod);
    if (!systemd) removeCgroup(cgroupParent);
  });

  it("labels and annotations come back exactly, whatever their keys", async () => {
    works("PodSandboxConfig.labels", "PodSandboxConfig.annotations");
    const odd = {
      __proto__x: "1",
      ["__proto__"]: "2",
      constructor: "3",
      "annotation.io.dockline/cri": '{"v":1}',
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": "x",
      "io.kubernetes.container.name": "not POD",
      'a key with spaces = and "quotes"': "multi\nline\tvalue",
      ключ: "значение",
      empty: "",
      [`long${"g".repeat(300)}`]: "v".repeat(10_000),
    };
    const fields = Object.assign(Object.create(null) as object, odd) as Record<string, string>;
    fields["__proto__"] = "2";
    const config = sandboxConfig(node, { labels: fields, annotations: fields });
    const pod = await runPod(node, config);
    const { podSandboxId } = pod;
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
    const { items } = await node.runtime.listPodSandbox({ filter: { id: podSandboxId } });
    for (const seen of [status, items[0]]) {
      for (const map of [seen?.labels ?? {}, seen?.annotations ?? {}]) {
        expect(Object.entries(map).sort()).to.deep.equal(Object.entries(fields).sort());
      }
    }
    const selector = { labelSelector: { ключ: "значение", empty: "" } };
    expect((await node.runtime.listPodSandbox({ filter: selector })).items).to.have.length(1);
    await removePod(node, pod);
  });

  it("metadata, times and runtime handler are reported alike in list and status", async () => {
    works(
      "PodSandboxMetadata.name",
      "PodSandboxMetadata.namespace",
      "PodSandboxMetadata.uid",
      "PodSandboxMetadata.attempt",
    );
    const before = BigInt(Date.now()) * 1_000_000n;
    const metadata = { name: "web.0", namespace: "test", uid: "u-1.2", attempt: 4_294_967_295 };
    const { podSandboxId } = await runPod(node, sandboxConfig(node, { metadata }));
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId, verbose: true });
    const [listed] = (await node.runtime.listPodSandbox({})).items;
    expect(status?.metadata).to.deep.include(metadata);
    expect(listed?.metadata).to.deep.include(metadata);
    expect(listed?.createdAt).to.equal(status?.createdAt);
    expect(Number((status?.createdAt ?? 0n) - before) / 1e9).to.be.within(-1, 30);
    expect(listed?.state).to.equal(PodSandboxState.SANDBOX_READY);
    await removePod(node, { podSandboxId });
  });

  it("run-as, groups, read-only root, seccomp and no-new-privileges hold for pause", async () => {
    works(
      "LinuxSandboxSecurityContext.run_as_user",
      "LinuxSandboxSecurityContext.run_as_group",
      "LinuxSandboxSecurityContext.supplemental_groups",
      "LinuxSandboxSecurityContext.readonly_rootfs",
      "LinuxSandboxSecurityContext.seccomp",
    );
    const pod = await runPod(
      node,
      withSecurity({
        namespaceOptions: { pid: NamespaceMode.CONTAINER },
        runAsUser: { value: 1234n },
        runAsGroup: { value: 4321n },
        supplementalGroups: [77n, 88n],
        readonlyRootfs: true,
        seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
      }),
    );
    const { podSandboxId } = pod;
    expect(await procStatus(podSandboxId, "Uid")).to.match(/^1234\s/);
    expect(await procStatus(podSandboxId, "Gid")).to.match(/^4321\s/);
    expect((await procStatus(podSandboxId, "Groups")).split(" ")).to.include.members(["77", "88"]);
    expect(await procStatus(podSandboxId, "Seccomp")).to.equal("2");
    expect(await procStatus(podSandboxId, "NoNewPrivs")).to.equal("1");
    const { HostConfig } = await node.docker.inspectContainer(podSandboxId);
    expect(HostConfig.ReadonlyRootfs).to.equal(true);
    await removePod(node, pod);
  });

  it("seccomp unconfined, localhost, a missing profile", async () => {
    works("SecurityProfile.profile_type=Unconfined, seccomp");
    const namespaceOptions = { pid: NamespaceMode.CONTAINER };
    const profile = join(node.folder, "seccomp.json");
    writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW" }));
    for (const [seccomp, mode] of [
      [{ profileType: SecurityProfile_ProfileType.Unconfined }, "0"],
      [{ profileType: SecurityProfile_ProfileType.Localhost, localhostRef: profile }, "2"],
    ] as const) {
      const pod = await runPod(node, withSecurity({ namespaceOptions, seccomp }));
      expect(await procStatus(pod.podSandboxId, "Seccomp")).to.equal(mode);
      await removePod(node, pod);
    }
    const missing = withSecurity({
      namespaceOptions,
      seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: "/no/such" },
    });
    expect(await failedWith(node, missing)).to.include("/no/such");
  });

  it("a log directory is not made, and one that is missing is no error", async () => {
    const pod = await runPod(node, sandboxConfig(node, { logDirectory: "" }));
    await removePod(node, pod);
  });
});

async function failedWith(node: TestNode, config: SandboxInit): Promise<string> {
  return await node.runtime.runPodSandbox({ config }).then(
    () => "",
    (error: unknown) => (error as { details: string }).details,
  );
}

/** Docker leaves the parents that it made; under cgroup v1 there is one in each hierarchy. */
function removeCgroup(path: string): void {
  const roots = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "cgroup" || type === "cgroup2")
    .map(([, root]) => root ?? "");
  for (const root of roots) {
    for (const folder of [path, path.replace(/\/[^/]*$/, ""), "/kubepods"]) {
      try {
        rmdirSync(`${root}${folder}`);
      } catch {
        // In use by others, or not made in this hierarchy.
      }
    }
  }
}
