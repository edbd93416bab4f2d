import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { readlinkSync, statSync, writeFileSync } from "node:fs";
import { NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { attachedOutput } from "../support/attach.ts";
import { expectError, logPathOf, logText, readCriLog, until } from "../support/containers.ts";
import { works } from "../support/fields.ts";
import {
  expectNoEdits,
  hostId,
  ids,
  inUserns,
  mapped,
  podNamespaces,
  startUsernsNode,
  usernsPod,
  type UsernsNode,
} from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";

// Pods with `hostUsers: false` as the kubelet asks for them, on an engine that has dockline-oci.
// Needs runc 1.2 or newer (DOCKLINE_TEST_RUNC, or installed).

describe("a pod with a user namespace", function () {
  this.timeout(120_000);
  let oci: UsernsNode;

  before(async function () {
    const started = await startUsernsNode();
    if (started === undefined) return this.skip();
    oci = started;
  });
  after(async () => {
    await (oci as UsernsNode | undefined)?.close();
  });
  afterEach(() => expectNoEdits(oci));

  const pidOf = async (id: string): Promise<number> =>
    (await oci.node.docker.inspectContainer(id)).State.Pid;
  const usernsOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/user`);
  const sleeper = (linux = inUserns()) => containerConfig("sleep 1000", { linux });

  it("is offered for the handlers that can, and only for those", async () => {
    const { runtimeHandlers, features, info } = await oci.node.runtime.status({ verbose: true });
    const can = Object.fromEntries(
      runtimeHandlers.map(({ name, features: of }) => [name, of?.userNamespaces]),
    );
    expect(can).to.include({ "": true, runc: true });
    expect(can).to.not.have.property("dockline");
    expect(features?.mountOptions).to.equal(true);
    expect(JSON.parse(info["docklineOci"] ?? "")).to.deep.include({ edits: oci.edits });
  });

  it("has one namespace, the image's owners, mapped volumes, network, DNS and exec", async () => {
    works(
      "NamespaceOption.userns_options",
      "UserNamespace.mode",
      "UserNamespace.uids",
      "UserNamespace.gids",
      "IDMapping.container_id",
      "IDMapping.host_id",
      "IDMapping.length",
      "Mount.uidMappings=of the pod",
      "Mount.gidMappings=of the pod",
    );
    const { node } = oci;
    const emptyDir = oci.folder("empty", 0o777);
    const hostPath = oci.folder("host");
    writeFileSync(`${hostPath}/secret`, "the host's\n", { mode: 0o600 });
    const sandbox = usernsPod(node, {
      dnsConfig: { servers: ["10.96.0.10"], searches: ["svc.local"], options: [] },
    });
    const pod = await runPod(node, sandbox);
    const first = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        linux: inUserns(),
        mounts: [mapped(emptyDir, "/empty"), mapped(hostPath, "/host")],
      }),
    );
    const second = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        metadata: { name: "user" },
        linux: inUserns({ runAsUser: { value: 1000n }, runAsGroup: { value: 1001n } }),
        mounts: [mapped(emptyDir, "/empty")],
      }),
    );
    const pause = await pidOf(pod.podSandboxId);
    expect(usernsOf(await pidOf(first))).to.equal(usernsOf(pause));
    expect(usernsOf(await pidOf(second))).to.equal(usernsOf(pause));
    expect(usernsOf(pause)).to.not.equal(usernsOf(process.pid));
    expect(statSync(`/proc/${await pidOf(second)}`).uid).to.equal(hostId + 1000);
    for (const [containerId, uid, gid] of [
      [first, 0n, 0n],
      [second, 1000n, 1001n],
    ] as const) {
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.user?.linux).to.include({ uid, gid });
    }

    expect(await shell(node, first, "cat /proc/self/uid_map")).to.match(/^\s*0 +131072 +65536$/);
    expect(await shell(node, first, "stat -c %u:%g / /bin/busybox /owned /empty /host")).to.equal(
      ["0:0", "0:0", "1000:1001", "0:0", "0:0"].join("\n"),
    );
    // The volume's files have the same owners inside and outside; the root's do not.
    expect(await shell(node, first, "cat /host/secret; stat -c %u /host/secret")).to.equal(
      "the host's\n0",
    );
    await shell(node, first, "echo root >/empty/root && echo new >/new && chown 7:8 /new");
    await shell(node, second, "echo user >/empty/user");
    expect(statSync(`${emptyDir}/root`)).to.include({ uid: 0, gid: 0 });
    expect(statSync(`${emptyDir}/user`)).to.include({ uid: 1000, gid: 1001 });
    expect(await shell(node, first, "stat -c %u:%g /empty/user")).to.equal("1000:1001");
    expect(statSync(`/proc/${await pidOf(first)}/root/new`)).to.include({
      uid: hostId + 7,
      gid: hostId + 8,
    });
    expect(await shell(node, first, "cat /etc/resolv.conf")).to.equal(
      "nameserver 10.96.0.10\nsearch svc.local",
    );
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    const ip = status?.network?.ip ?? "";
    expect(await shell(node, second, "ip -4 addr show eth0")).to.contain(`inet ${ip}/`);
    expect(status?.linux?.namespaces?.options?.usernsOptions?.uids[0]?.hostId).to.equal(hostId);
    expect(oci.engine.docker("exec", first, "id", "-u")).to.equal("0");

    const { stats } = await node.runtime.containerStats({ containerId: first });
    expect(stats?.memory?.usageBytes?.value ?? 0n).to.satisfy((bytes: bigint) => bytes > 0n);
    const podStats = await node.runtime.podSandboxStats({ podSandboxId: pod.podSandboxId });
    expect(podStats.stats?.linux?.network?.defaultInterface?.name).to.equal("eth0");
  });

  it("has images as volumes, with their owners", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const image = { image: sleeper().image?.image ?? "" };
    const asImage = { image, hostPath: "", readonly: true };
    const id = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        linux: inUserns(),
        mounts: [
          { ...mapped("", "/whole"), ...asImage },
          { ...mapped("", "/part"), ...asImage, imageSubPath: "bin", recursiveReadOnly: true },
        ],
      }),
    );
    expect(
      await shell(
        node,
        id,
        "stat -c %u:%g /whole /whole/bin/busybox /whole/owned /part/busybox; touch /whole/x || touch /part/x || echo no",
      ),
    ).to.match(/^0:0\n0:0\n1000:1001\n0:0\n(?:.*\n)*no$/);
  });

  it("has logs and can be attached to", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const talker = containerConfig("read line; echo heard $line; id -u", {
      linux: inUserns(),
      stdin: true,
      stdinOnce: true,
    });
    const id = await startContainer(node, pod, talker);
    const { url } = await node.runtime.attach({ containerId: id, stdin: true, stdout: true });
    expect(await attachedOutput(url, "you\n")).to.equal("heard you\n0\n");
    await untilExited(node, id);
    await until("the log is written", () =>
      logText(readCriLog(logPathOf(pod, talker))).endsWith("0\n"),
    );
    expect(logText(readCriLog(logPathOf(pod, talker)))).to.equal("heard you\n0\n");
  });

  it("takes an ephemeral container into the process namespace of another", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const target = await startContainer(node, pod, sleeper());
    const namespaceOptions = {
      ...podNamespaces,
      pid: NamespaceMode.TARGET,
      targetId: target,
    };
    const debug = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        metadata: { name: "debug" },
        linux: inUserns({ namespaceOptions }),
      }),
    );
    expect(await shell(node, debug, "cat /proc/1/cmdline | tr '\\0' ' '")).to.contain("sleep 1000");
    expect(await shell(node, debug, "ls /proc/1/root/owned && kill -0 1 && echo may")).to.contain(
      "may",
    );
  });

  it("keeps its root from the host", async () => {
    const { node } = oci;
    const folder = oci.folder("plain");
    writeFileSync(`${folder}/secret`, "secret", { mode: 0o600 });
    const pod = await runPod(node, usernsPod(node));
    const id = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        linux: inUserns({ capabilities: { addCapabilities: ["ALL"] } }),
        mounts: [{ hostPath: folder, containerPath: "/plain" }],
      }),
    );
    const fails = async (line: string): Promise<string> =>
      await shell(node, id, `if ${line} 2>&1; then exit 1; fi`);
    expect(await fails("cat /plain/secret")).to.contain("Permission denied");
    expect(await fails("touch /plain/new")).to.contain("Permission denied");
    expect(await fails("sh -c 'echo 1 >/proc/sys/kernel/panic'")).to.match(/Read-only|denied/);
    expect(await fails("mknod /tmp/sda b 8 0")).to.contain("not permitted");
    // It may unmount what masks the host's settings, and finds that they are not its own.
    expect(await fails("sh -c 'umount /proc/sys; echo 1 >/proc/sys/kernel/panic'")).to.match(
      /Read-only|denied/,
    );
    // Even where it sees the host's processes it may signal none.
    const user = `--user=/proc/${await pidOf(id)}/ns/user`;
    const done = spawnSync("nsenter", [user, "kill", "-0", String(process.pid)], {
      encoding: "utf8",
    });
    expect(done.stderr).to.contain("not permitted");
  });

  const pod = (usernsOptions: object, more: object = {}) => ({
    linux: { securityContext: { namespaceOptions: { ...more, usernsOptions } } },
  });
  const POD = NamespaceMode.POD;
  const two = [...ids, { containerId: 65536, hostId: 300000, length: 10 }];
  const noRoot = [{ containerId: 1, hostId, length: 65536 }];
  for (const [what, linux, message] of [
    ["two mappings", pod({ mode: POD, uids: two, gids: two }), /2 mappings/],
    ["no mapping", pod({ mode: POD }), /0 mappings/],
    ["an unmapped 0", pod({ mode: POD, uids: noRoot, gids: noRoot }), /id 0 .* not mapped/],
    ["CONTAINER", pod({ mode: NamespaceMode.CONTAINER, uids: ids, gids: ids }), /CONTAINER/],
    ["TARGET", pod({ mode: NamespaceMode.TARGET, uids: ids, gids: ids }), /TARGET/],
    [
      "the host's network",
      pod({ mode: POD, uids: ids, gids: ids }, { network: NamespaceMode.NODE }),
      /node's network/,
    ],
    ["uids unlike gids", pod({ mode: POD, uids: ids, gids: noRoot }), /gids/],
  ] as const) {
    it(`is refused for ${what}, and nothing is made`, async () => {
      const config = sandboxConfig(oci.node, linux);
      await expectError(oci.node.runtime.runPodSandbox({ config }), "INVALID_ARGUMENT", message);
      expect(oci.engine.docker("ps", "-aq")).to.equal("");
    });
  }

  it("has no containers of other ids than its own, nor other pods such containers", async () => {
    const { node } = oci;
    const inside = await runPod(node, usernsPod(node));
    const outside = await runPod(node);
    const other = [{ containerId: 0, hostId: 262144, length: 65536 }];
    const usernsOptions = { mode: POD, uids: other, gids: other };
    const namespaceOptions = { ...podNamespaces, usernsOptions };
    const wrong = [
      createContainer(node, inside, sleeper(inUserns({ namespaceOptions }))),
      createContainer(node, inside, containerConfig("true")),
      createContainer(node, outside, sleeper()),
    ];
    for (const call of wrong) await expectError(call, "INVALID_ARGUMENT", /not that of the pod/);
    const mounts = [mapped(oci.folder("v"), "/v")];
    await expectError(
      createContainer(node, outside, containerConfig("true", { mounts })),
      "INVALID_ARGUMENT",
      /those of the pod's user namespace/,
    );
  });
});
