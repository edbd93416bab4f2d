import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import { removeCgroup } from "../support/cgroup-truth.ts";
import { startKubeletAside } from "../support/kubelet.ts";
import { startUsernsNode, type UsernsNode } from "../support/oci-node.ts";
import { mountsUnder } from "../support/oci-engine.ts";
import { removeAllPods } from "../support/pods.ts";
import { errorLines } from "./error-lines.ts";
import { idle, kubeletApi, sh, staticPod, within } from "./rig.ts";

// Pods with `hostUsers: false` by a real kubelet, which hands out the ids and asks for mapped volumes.
// Needs runc 1.2 or newer (DOCKLINE_TEST_RUNC, or installed).

const port = 10_510;
/** Of the kubelet's ids: a pod gets one such range, and the node's own ids are not among them. */
const range = 65_536;

describe("a kubelet's pods with hostUsers: false", function () {
  this.timeout(120_000);
  let oci: UsernsNode;
  let started: Awaited<ReturnType<typeof startKubeletAside>>;
  let kubelet: ReturnType<typeof kubeletApi<typeof started>>;
  let hostFolder: string;
  let plainFolder: string;

  before(async function () {
    this.timeout(600_000);
    const node = await startUsernsNode();
    if (node === undefined) throw new Error("no runc 1.2 or newer: DOCKLINE_TEST_RUNC names one");
    oci = node;
    hostFolder = oci.folder("host-path");
    chmodSync(hostFolder, 0o777);
    plainFolder = oci.folder("other");
    for (const folder of [hostFolder, plainFolder]) {
      writeFileSync(join(folder, "secret"), "the host's", { mode: 0o600 });
    }
    started = await startKubeletAside({ endpoint: oci.node.endpoint, port });
    kubelet = kubeletApi(started, port);
    const mounts = [
      { name: "empty", mountPath: "/empty" },
      { name: "host", mountPath: "/host" },
    ];
    const volumes = [
      { name: "empty", emptyDir: {} },
      { name: "host", hostPath: { path: hostFolder } },
    ];
    kubelet.addPod(
      "own",
      staticPod("own", {
        hostUsers: false,
        volumes,
        initContainers: [
          sh("init", "echo init >/empty/init; chown 1000:1001 /empty/init", {
            volumeMounts: mounts,
          }),
        ],
        containers: [
          sh("root", idle, {
            volumeMounts: mounts,
            securityContext: { capabilities: { add: ["ALL"] } },
          }),
          sh("user", idle, {
            volumeMounts: mounts,
            securityContext: { runAsUser: 1000, runAsGroup: 1001 },
          }),
        ],
      }),
    );
    kubelet.addPod(
      "second",
      staticPod("second", { hostUsers: false, containers: [sh("a", idle)] }),
    );
    kubelet.addPod("host", staticPod("host", { containers: [sh("a", idle)] }));
  });
  after(async function () {
    this.timeout(120_000);
    const node = oci as UsernsNode | undefined;
    if (node === undefined) return;
    const running = started as typeof started | undefined;
    if (running !== undefined) {
      await running.stop();
      removeCgroup(`/${basename(running.folder).replace("-kubelet", "")}`);
    }
    await removeAllPods(node.node);
    await node.close();
  });

  const pidOf = async (pod: string, container: string): Promise<number> => {
    const id = (await kubelet.container(pod, container))?.containerID?.replace("docker://", "");
    return (await oci.node.docker.inspectContainer(id ?? "")).State.Pid;
  };
  const mapOf = async (pod: string, container: string): Promise<[number, number, number]> => {
    const text = readFileSync(`/proc/${await pidOf(pod, container)}/uid_map`, "utf8");
    const [inside = 0, outside = 0, length = 0] = text.trim().split(/\s+/).map(Number);
    return [inside, outside, length];
  };
  /** Exit code and output of a line that may fail. */
  const tryIn = async (container: string, line: string): Promise<string> =>
    (
      await kubelet.exec("own", container, ["sh", "-c", `(${line}) 2>&1; echo "code $?"`])
    ).trimEnd();

  it("each have ids of their own, and pods without have the node's", async () => {
    for (const name of ["own", "second", "host"]) await kubelet.ready(name);
    const [first, second, plain] = [
      await mapOf("own", "root"),
      await mapOf("second", "a"),
      await mapOf("host", "a"),
    ];
    expect(plain).to.deep.equal([0, 0, 4294967295]);
    for (const [inside, outside, length] of [first, second]) {
      expect([inside, length]).to.deep.equal([0, range]);
      expect(outside).to.be.at.least(range);
    }
    expect(Math.abs(first[1] - second[1])).to.be.at.least(range);
    expect(await mapOf("own", "user")).to.deep.equal(first);
    const usernsOf = async (container: string): Promise<string> =>
      readlinkSync(`/proc/${await pidOf("own", container)}/ns/user`);
    expect(await usernsOf("root")).to.equal(await usernsOf("user"));
    expect(await usernsOf("root")).to.not.equal(readlinkSync("/proc/self/ns/user"));
    expect(errorLines(kubelet.log())).to.deep.equal([]);
  });

  it("have an emptyDir and a hostPath whose owners are right inside and outside", async () => {
    const pod = await kubelet.ready("own");
    const empty = join(
      kubelet.folder,
      `root/pods/${pod.metadata.uid}/volumes/kubernetes.io~empty-dir/empty`,
    );
    expect(
      await tryIn("root", "stat -c %u:%g /empty/init /host/secret; cat /host/secret"),
    ).to.equal("1000:1001\n0:0\nthe host'scode 0");
    expect(statSync(join(empty, "init"))).to.include({ uid: 1000, gid: 1001 });
    for (const [folder, outside] of [
      ["/empty", empty],
      ["/host", hostFolder],
    ] as const) {
      await tryIn("root", `echo x >${folder}/by-root`);
      await tryIn("user", `echo x >${folder}/by-user`);
      expect(await tryIn("root", `stat -c %u:%g ${folder}/by-root ${folder}/by-user`)).to.equal(
        "0:0\n1000:1001\ncode 0",
      );
      expect(statSync(join(outside, "by-root"))).to.include({ uid: 0, gid: 0 });
      expect(statSync(join(outside, "by-user"))).to.include({ uid: 1000, gid: 1001 });
      expect(readFileSync(join(outside, "by-user"), "utf8")).to.equal("x\n");
    }
    // What the node's user 1000 wrote is the container's user's own; what root wrote is not.
    expect(await tryIn("user", "cat /empty/init; cat /host/secret")).to.match(
      /^init\n.*denied\ncode 1$/i,
    );
  });

  it("keep their root from the node", async () => {
    const pid = await pidOf("own", "root");
    const [, outside] = await mapOf("own", "root");
    const asRoot = (...command: string[]) =>
      spawnSync("nsenter", [`--user=/proc/${pid}/ns/user`, ...command], { encoding: "utf8" });
    // In the pod's user namespace alone: the node's files and processes are before its eyes.
    const secret = join(plainFolder, "secret");
    const read = asRoot("cat", secret);
    expect([read.status, read.stdout]).to.deep.equal([1, ""]);
    expect(read.stderr).to.contain("Permission denied");
    const written = asRoot("sh", "-c", `echo x >${secret}`);
    expect(written.status).to.not.equal(0);
    const signal = asRoot("kill", "-0", String(process.pid));
    expect(signal.stderr).to.contain("not permitted");
    const own = asRoot("kill", "-0", String(pid));
    expect([own.status, own.stderr]).to.deep.equal([0, ""]);
    // From inside the container, with all capabilities that it could ask for.
    const panic = readFileSync("/proc/sys/kernel/panic", "utf8");
    expect(await tryIn("root", "echo 77 >/proc/sys/kernel/panic")).to.match(/code [^0]/);
    expect(await tryIn("root", "umount /proc/sys; echo 77 >/proc/sys/kernel/panic")).to.match(
      /code [^0]/,
    );
    expect(readFileSync("/proc/sys/kernel/panic", "utf8")).to.equal(panic);
    expect(await tryIn("root", "mknod /tmp/disk b 8 0")).to.match(/not permitted[^]*code 1/);
    expect(statSync(`/proc/${pid}`).uid).to.equal(outside);
  });

  it("leave nothing when they end", async () => {
    kubelet.removePod("own");
    kubelet.removePod("second");
    await within(60_000, "end of the pods", () => {
      const pods = join(kubelet.folder, "root", "pods");
      return existsSync(pods) && readdirSync(pods).length === 1 ? true : undefined;
    });
    await removeAllPods(oci.node);
    await within(20_000, "end of the edits", () =>
      oci.editFiles().length === 0 ? true : undefined,
    );
    expect(mountsUnder(oci.edits)).to.deep.equal([]);
  });
});
