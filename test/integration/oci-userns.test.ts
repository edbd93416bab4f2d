import { expect } from "chai";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import {
  busybox,
  docklineOci,
  editsFolder,
  mountsUnder,
  newRunc,
  pause,
  removeEdits,
  startOciEngine,
  startTicks,
  until,
  writeEdits,
  type OciEngine,
} from "../support/oci-engine.ts";

// Pods with a user namespace of their own on a real engine. Needs root and runc 1.2 or newer.

const hostId = 131072;
const size = 65536;

describe("dockline-oci: user namespaces", function () {
  this.timeout(120_000);
  const runc = newRunc();
  let engine: OciEngine;
  const made: string[] = [];

  before(async function () {
    if (runc === undefined) this.skip();
    engine = await startOciEngine({
      dockline: [`--real-runtime=${runc}`],
      "dockline-slow": ["--real-runtime=/run/dockline-test-slow-runc"],
      "dockline-plain": ["--real-runtime=/run/dockline-test-old-runc"],
    });
    const slowScript = `#!/bin/sh
case "$*" in *" create "*) if [ -e ${engine.folder("slow")} ]; then echo $PPID >${engine.folder("in-create")}; sleep 60; fi;; esac
exec ${runc} "$@"
`;
    writeFileSync("/run/dockline-test-slow-runc", slowScript, { mode: 0o755 });
    writeFileSync("/run/dockline-test-old-runc", "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  });
  after(async () => {
    if (runc === undefined) return;
    rmSync("/run/dockline-test-slow-runc", { force: true });
    rmSync("/run/dockline-test-old-runc", { force: true });
    await engine.remove();
  });
  afterEach(() => {
    for (const id of made.splice(0).reverse()) {
      engine.docker("rm", "-f", id);
      expect(existsSync(`${editsFolder}/${id}`), "folder of a deleted container").to.equal(false);
      removeEdits(id);
    }
    expect(mountsUnder(editsFolder)).to.deep.equal([]);
  });

  const create = (runtime: string, ...args: string[]): string => {
    const id = engine.docker("create", `--runtime=${runtime}`, ...args);
    made.push(id);
    return id;
  };
  const pid = (id: string): number => Number(engine.docker("inspect", "-f", "{{.State.Pid}}", id));
  const inside = (id: string, command: string): string =>
    engine.docker("exec", id, "sh", "-c", command);
  /** The writable layer: the containerd store names the root's mount after the container. */
  const upper = (id: string): string => {
    const driver = engine.docker("inspect", "-f", "{{.GraphDriver.Data.MergedDir}}", id);
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
    const line = mounts.find((entry) => {
      const point = entry.split(" ")[1] ?? "";
      return point === driver || point.endsWith(`/overlayfs/${id}`);
    });
    return /upperdir=([^,]+)/.exec(line ?? "")?.[1] ?? "";
  };

  function sandbox(ids = { hostId, size }): {
    id: string;
    join: { pid: number; startTicks: number };
    ids: { hostId: number; size: number };
  } {
    const id = create("dockline", "--network=none", "--ipc=shareable", pause);
    writeEdits(id, { userNamespace: ids });
    engine.docker("start", id);
    return { id, join: { pid: pid(id), startTicks: startTicks(pid(id)) }, ids };
  }
  function member(
    pod: { id: string; join: object; ids: object },
    options: string[] = [],
    more: { idmapMounts?: object[]; ops?: object[]; runtime?: string } = {},
  ): string {
    const id = create(
      more.runtime ?? "dockline",
      ...[`--network=container:${pod.id}`, `--ipc=container:${pod.id}`, ...options],
      ...[busybox, "sleep", "1000"],
    );
    writeEdits(id, {
      userNamespace: { ...pod.ids, join: pod.join, idmapMounts: more.idmapMounts ?? [] },
      ops: more.ops ?? [],
    });
    return id;
  }

  it("says that this machine can", () => {
    const probed = execFileSync(
      docklineOci,
      [`--real-runtime=${runc ?? ""}`, `--dockline-probe=${engine.folder("root")}`],
      { encoding: "utf8" },
    );
    const { features, ...answer } = JSON.parse(probed) as Record<string, unknown>;
    expect(answer).to.deep.equal({ userNamespaces: true, recursiveReadOnly: true });
    expect(features).to.have.property("ociVersionMax");
    expect(readdirSync(engine.folder("root")).join()).not.to.contain("probe");
  });

  it("is one namespace for the pod, with the image's owners and mapped writes", () => {
    const pod = sandbox();
    const id = member(pod, ["--workdir=/made/here"]);
    engine.docker("start", id);
    const userns = (of: number): string => readlinkSync(`/proc/${String(of)}/ns/user`);
    expect(userns(pid(id)))
      .to.equal(userns(pod.join.pid))
      .and.not.equal(userns(process.pid));
    expect(inside(id, "cat /proc/self/uid_map").split(/ +/)).to.deep.equal([
      "0",
      "131072",
      "65536",
    ]);
    expect(inside(id, "stat -c %u:%g / /owned /bin/busybox /made/here").split("\n")).to.deep.equal([
      ...["0:0", "1000:1001", "0:0", "0:0"],
    ]);
    inside(id, "echo new >/new && chown 5:6 /new");
    expect(statSync(`${upper(id)}/new`)).to.include({ uid: hostId + 5, gid: hostId + 6 });
    expect(statSync(`/proc/${String(pid(id))}`).uid).to.equal(hostId);
    expect(inside(id, "cat /proc/sys/net/ipv4/ping_group_range").split(/\s+/)).to.deep.equal([
      ...["0", "65535"],
    ]);
    expect(engine.docker("cp", `${id}:/new`, engine.folder("copied"))).to.equal("");
    expect(readFileSync(engine.folder("copied"), "utf8")).to.equal("new\n");

    engine.docker("stop", "-t", "0", id);
    expect(existsSync(`${editsFolder}/${id}`), "folder of a stopped container").to.equal(false);
    engine.docker("start", id);
    expect(inside(id, "stat -c %u:%g /new && cat /new")).to.equal("5:6\nnew");
  });

  for (const ids of [
    { hostId: 1000, size: 100000 },
    { hostId: 0, size: 65536 },
  ])
    it(`takes ids of the host's own users, from ${ids.hostId} on`, () => {
      const id = member(sandbox(ids), ["--workdir=/made/here"]);
      engine.docker("start", id);
      expect(inside(id, "cat /proc/self/uid_map").trim().split(/ +/)).to.deep.equal(
        [0, ids.hostId, ids.size].map(String),
      );
      const owners = "stat -c %u:%g / /owned /bin/busybox /made /made/here | xargs";
      expect(inside(id, owners)).to.equal("0:0 1000:1001 0:0 0:0 0:0");
      inside(id, "echo new >/new && chown 5:6 /new");
      expect(statSync(`${upper(id)}/new`)).to.include({
        uid: ids.hostId + 5,
        gid: ids.hostId + 6,
      });
      engine.docker("stop", "-t", "0", id);
      engine.docker("start", id);
      expect(inside(id, owners)).to.equal("0:0 1000:1001 0:0 0:0 0:0");
      expect(inside(id, "stat -c %u:%g /new")).to.equal("5:6");
    });

  it("maps the ids of volumes, and lets a plain one show nobody", () => {
    const pod = sandbox();
    for (const name of ["mapped", "plain"]) {
      mkdirSync(engine.folder(name));
      writeFileSync(engine.folder(`${name}/file`), "host's\n", { mode: 0o600 });
    }
    const id = member(
      pod,
      ["mapped", "plain"].map((name) => `--volume=${engine.folder(name)}:/${name}`),
      {
        idmapMounts: [{ destination: "/mapped" }, { destination: "/absent", optional: true }],
        ops: [{ op: "mountOptions", destination: "/mapped", add: ["noexec"], remove: [] }],
      },
    );
    engine.docker("start", id);
    expect(inside(id, "cat /mapped/file; stat -c %u /mapped/file /plain/file")).to.equal(
      "host's\n0\n65534",
    );
    inside(id, "touch /mapped/new");
    expect(statSync(engine.folder("mapped/new")).uid).to.equal(0);
    expect(inside(id, "grep ' /mapped ' /proc/mounts")).to.contain("noexec");
    expect(() => inside(id, "cat /plain/file")).to.throw("Permission denied");
  });

  it("keeps root of the pod from the host", () => {
    const pod = sandbox();
    writeFileSync(engine.folder("secret"), "secret", { mode: 0o600 });
    const id = member(pod, [`--volume=${engine.folder("secret")}:/secret`]);
    engine.docker("start", id);
    expect(() => inside(id, "cat /secret")).to.throw("Permission denied");
    // As root of the namespace, but seeing the host's processes.
    const signal = spawnSync(
      "nsenter",
      [`--user=/proc/${String(pid(id))}/ns/user`, "kill", "-0", String(process.pid)],
      { encoding: "utf8" },
    );
    expect(signal.stderr).to.contain("not permitted");
    expect(() => inside(id, "echo 1 >/proc/sys/kernel/panic")).to.throw(/Read-only|denied/);
    expect(() => inside(id, "mknod /tmp/null c 1 3")).to.throw("not permitted");
  });

  it("starts again on a root that the engine kept mounted", () => {
    const [bundle, id] = [engine.folder("bundle"), `dltest-${String(process.pid)}`];
    for (const name of ["lower", "upper", "work", "root"])
      mkdirSync(`${bundle}/${name}`, { recursive: true });
    writeFileSync(`${bundle}/lower/file`, "");
    writeFileSync(
      `${bundle}/runc`,
      `#!/bin/sh\n[ "$1" != features ] || exec ${runc ?? ""} features\nstat -c %u ${editsFolder}/${id}/rootfs/file\n`,
      { mode: 0o755 },
    );
    writeEdits(id, { userNamespace: { hostId, size } });
    const layers = ["lower", "upper", "work"].map((name) => `${name}dir=${bundle}/${name}`);
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", layers.join(), `${bundle}/root`]);
    try {
      for (const time of ["first", "second"]) {
        writeFileSync(`${bundle}/config.json`, JSON.stringify({ root: { path: "root" } }));
        const args = [`--real-runtime=${bundle}/runc`, "create", `--bundle=${bundle}`, id];
        expect(execFileSync(docklineOci, args, { encoding: "utf8" }), time).to.equal("131072\n");
        expect(mountsUnder(bundle)).to.deep.equal([`${bundle}/root`]);
      }
    } finally {
      for (const at of mountsUnder(bundle)) execFileSync("umount", [at]);
      rmSync(`${editsFolder}/${id}`, { recursive: true });
      removeEdits(id);
    }
  });

  describe("faults", () => {
    const refused: readonly [string, object, string][] = [
      ["no ids", { hostId, size: 0 }, "size is 0"],
      ["ids beyond 32 bits", { hostId: 4294901760, size }, "leaves the 32-bit ids"],
      ["a text for a number", { hostId: "131072", size }, "must be an integer"],
      [
        "a process that is gone",
        { hostId, size, join: { pid: 4194303, startTicks: 1 } },
        "is gone",
      ],
      [
        "a process of the host",
        { hostId, size, join: { pid: process.pid, startTicks: startTicks(process.pid) } },
        "does not map 0 to 131072",
      ],
      ["an unknown member", { hostId, size, gid: 1 }, 'unknown member "gid"'],
      [
        "a volume that is not there",
        { hostId, size, idmapMounts: [{ destination: "/v" }] },
        "nothing is mounted at /v",
      ],
    ];
    for (const [what, userNamespace, sentence] of refused)
      it(`refuses ${what}`, () => {
        const id = create("dockline", "--network=none", busybox, "sleep", "1000");
        writeEdits(id, { userNamespace });
        expect(engine.dockerFails("start", id)).to.contain(sentence);
        expect(mountsUnder(editsFolder)).to.deep.equal([]);
        writeEdits(id, { userNamespace: { hostId, size } });
        engine.docker("start", id);
        expect(inside(id, "id -u")).to.equal("0");
      });

    it("refuses a pause process whose pid was used again", () => {
      const pod = sandbox();
      const join = { ...pod.join, startTicks: pod.join.startTicks - 1 };
      const id = member({ ...pod, join });
      expect(engine.dockerFails("start", id)).to.contain("its pid belongs to another");
    });

    it("refuses a real runtime that would pass over the mappings", () => {
      const id = create("dockline-plain", "--network=none", busybox, "true");
      writeEdits(id, { userNamespace: { hostId, size } });
      expect(engine.dockerFails("start", id)).to.contain("does not map the ids of mounts");
    });

    it("refuses folders that the namespace's root cannot pass", () => {
      const id = create("dockline", "--network=none", busybox, "true");
      writeEdits(id, { userNamespace: { hostId, size } });
      chmodSync(editsFolder, 0o700);
      try {
        expect(engine.dockerFails("start", id)).to.contain(`${editsFolder} must have mode 0711`);
      } finally {
        chmodSync(editsFolder, 0o711);
      }
    });

    it("leaves nothing when the real runtime fails", () => {
      const id = create("dockline", "--network=none", busybox, "/no/such/program");
      writeEdits(id, { userNamespace: { hostId, size } });
      expect(engine.dockerFails("start", id)).to.contain("/no/such/program");
      expect(existsSync(`${editsFolder}/${id}`)).to.equal(false);
      expect(
        mountsUnder(engine.folder("root")).filter((at) => at.endsWith("merged")),
      ).to.deep.equal([]);
    });

    it("leaves nothing when it is killed in the middle of create; the next start works", async () => {
      const id = create("dockline-slow", "--network=none", busybox, "sleep", "1000");
      writeEdits(id, { userNamespace: { hostId, size } });
      writeFileSync(engine.folder("slow"), "");
      const start = engine.dockerInBackground("start", id);
      await until("in create", () => existsSync(engine.folder("in-create")));
      expect(mountsUnder(editsFolder)).to.deep.equal([`${editsFolder}/${id}/rootfs`]);
      process.kill(Number(readFileSync(engine.folder("in-create"), "utf8")), "SIGKILL");
      expect(await start).not.to.equal(0);
      await until("unmounted", () => mountsUnder(editsFolder).length === 0);
      await until("folder gone", () => !existsSync(`${editsFolder}/${id}`));
      const merged = mountsUnder(engine.folder("root")).filter((at) => at.endsWith("/merged"));
      expect(merged).to.deep.equal([]);
      rmSync(engine.folder("slow"));
      engine.docker("start", id);
      expect(inside(id, "id -u")).to.equal("0");
    });
  });
});
