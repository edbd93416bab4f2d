import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import {
  busybox,
  editsFolder,
  removeEdits,
  startOciEngine,
  writeEdits,
  type OciEngine,
} from "../support/oci-engine.ts";

// A real engine whose `dockline` runtime is the committed program. Needs root.

describe("dockline-oci: edits of the spec", function () {
  this.timeout(60_000);
  let engine: OciEngine;
  const made: string[] = [];

  before(async () => {
    engine = await startOciEngine({
      dockline: [],
      "dockline-gone": ["--real-runtime=/nonexistent/runc"],
    });
  });
  after(() => engine.remove());
  afterEach(() => {
    for (const id of made.splice(0)) {
      engine.docker("rm", "-f", id);
      removeEdits(id);
    }
  });

  const create = (...options: string[]): string => {
    const id = engine.docker(
      ...["create", "--runtime=dockline", "--network=none", ...options],
      ...[busybox, "sleep", "1000"],
    );
    made.push(id);
    return id;
  };
  const started = (edits: Record<string, unknown>, ...options: string[]): string => {
    const id = create(...options);
    writeEdits(id, edits);
    engine.docker("start", id);
    return id;
  };
  const inside = (id: string, command: string): string =>
    engine.docker("exec", id, "sh", "-c", command);
  /** What pid 1 has, which an exec need not. */
  const status = (id: string, field: string): string =>
    inside(id, `grep ^${field}: /proc/1/status`).split("\t").at(-1) ?? "";

  describe("faults", () => {
    const cases: readonly [string, (id: string, path: string) => void, string][] = [
      ["missing edits", () => undefined, "does not exist"],
      [
        "truncated edits",
        (id, path) => {
          writeFileSync(path, `{"v":1,"containerId":"${id}","op`, { mode: 0o600 });
        },
        "not valid JSON",
      ],
      [
        "an empty file",
        (_id, path) => {
          writeFileSync(path, "", { mode: 0o600 });
        },
        "not valid JSON",
      ],
      [
        "edits of another container",
        (id, path) => {
          const other = JSON.stringify({ v: 1, containerId: `0${id.slice(1)}x` });
          writeFileSync(path, other, { mode: 0o600 });
        },
        "those of another container",
      ],
      [
        "edits that others can read",
        (id, path) => {
          writeEdits(id, {});
          chmodSync(path, 0o644);
        },
        "mode 0600",
      ],
      [
        "edits of another user",
        (id, path) => {
          writeEdits(id, {});
          chownSync(path, 1000, 1000);
        },
        "plain file of root",
      ],
      [
        "a link instead of a file",
        (id, path) => {
          writeFileSync(engine.folder("elsewhere"), JSON.stringify({ v: 1, containerId: id }));
          symlinkSync(engine.folder("elsewhere"), path);
        },
        "cannot open",
      ],
      [
        "a version to come",
        (id) => {
          writeEdits(id, { v: 2 });
        },
        "version is not 1",
      ],
      [
        "an unknown member",
        (id) => {
          writeEdits(id, { more: true });
        },
        'unknown member "more"',
      ],
      [
        "an unknown operation",
        (id) => {
          writeEdits(id, { ops: [{ op: "magic" }] });
        },
        'unknown operation "magic"',
      ],
      [
        "options of a mount that is not there",
        (id) => {
          writeEdits(id, {
            ops: [{ op: "mountOptions", destination: "/x", add: ["noexec"], remove: [] }],
          });
        },
        "nothing is mounted at /x",
      ],
      [
        "a mount option that the runtime does not know",
        (id) => {
          writeEdits(id, {
            ops: [{ op: "mountOptions", destination: "/proc", add: ["norun"], remove: [] }],
          });
        },
        'does not know the mount option "norun"',
      ],
      [
        "an ambient capability that the container does not have",
        (id) => {
          writeEdits(id, { ops: [{ op: "ambientCapabilities", add: ["CAP_SYS_ADMIN"] }] });
        },
        "does not have CAP_SYS_ADMIN",
      ],
    ];
    for (const [what, damage, sentence] of cases)
      it(`${what}: the start fails and says so; good edits start it`, () => {
        const id = create();
        damage(id, `${editsFolder}/${id}.json`);
        expect(engine.dockerFails("start", id)).to.contain("dockline-oci: ").and.contain(sentence);
        expect(engine.docker("inspect", "-f", "{{.State.Running}}", id)).to.equal("false");
        removeEdits(id);
        writeEdits(id, { ops: [] });
        engine.docker("start", id);
        expect(inside(id, "echo up")).to.equal("up");
      });

    it("names a real runtime that is not there", () => {
      const id = engine.docker("create", "--runtime=dockline-gone", busybox, "true");
      made.push(id);
      writeEdits(id, {});
      expect(engine.dockerFails("start", id)).to.contain("/nonexistent/runc cannot be run");
    });
  });

  it("leaves what is not edited as it was, numbers beyond 2^63 too", () => {
    const id = started({ ops: [] }, "--ulimit=core=-1", "--env=A=<&>\u2028é", "--hostname=h");
    expect(inside(id, "grep core /proc/1/limits")).to.match(/unlimited +unlimited/);
    expect(inside(id, "tr '\\0' '\\n' </proc/1/environ")).to.contain("A=<&>\u2028é");
    expect(inside(id, "hostname")).to.equal("h");
  });

  it("survives stop, start again and kill", () => {
    const id = started({ ops: [{ op: "env", name: "A", value: "1" }] }, "--env=A=0");
    engine.docker("stop", "-t", "0", id);
    engine.docker("start", id);
    expect(inside(id, "tr '\\0' '\\n' </proc/1/environ | grep ^A=")).to.equal("A=1");
    engine.docker("kill", id);
    expect(engine.docker("wait", id)).to.equal("137");
  });

  it("merges objects and replaces lists", () => {
    const id = started({
      merge: { process: { noNewPrivileges: true }, linux: { maskedPaths: ["/proc/uptime"] } },
    });
    expect(status(id, "NoNewPrivs")).to.equal("1");
    expect(inside(id, "wc -c </proc/uptime")).to.equal("0");
    // Masked by the engine's own list, which the edit replaced.
    expect(inside(id, "grep -c ' /proc/kcore ' /proc/mounts || true")).to.equal("0");
  });

  it("sets memory below the engine's floor of 6 MiB", () => {
    const id = started({ merge: { linux: { resources: { memory: { limit: 5242880 } } } } });
    const files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max";
    expect(inside(id, `cat ${files} 2>/dev/null || true`)).to.equal("5242880");
  });

  it("writes cgroup files before the process runs, or starts nothing", () => {
    const pids = { controller: "pids", file: "pids.max", value: "123" };
    const none = { controller: "hugetlb", file: "none.max", value: "1" };
    const id = started({ cgroupWrites: [pids, { ...none, optional: true }] });
    const files = "/sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max";
    expect(inside(id, `cat ${files} 2>/dev/null || true`)).to.equal("123");

    const refused = create();
    writeEdits(refused, { cgroupWrites: [none] });
    expect(engine.dockerFails("start", refused)).to.match(/cannot open .*none\.max/);
    writeEdits(refused, { cgroupWrites: [{ ...pids, value: "many" }] });
    expect(engine.dockerFails("start", refused)).to.match(/cannot write many to .*pids\.max/);
    for (const file of ["../pids.max", "cgroup.procs", ""]) {
      writeEdits(refused, { cgroupWrites: [{ ...pids, file }] });
      expect(engine.dockerFails("start", refused)).to.contain("is not a cgroup's file");
    }
    writeEdits(refused, { cgroupWrites: [pids] });
    engine.docker("start", refused);
  });

  it("sets and appends by path, and removes", () => {
    const id = started({
      ops: [
        { op: "set", path: "/linux/sysctl/kernel.domainname", value: "of.test" },
        { op: "append", path: "/process/user/additionalGids", values: [7, 8] },
        { op: "remove", path: "/linux/maskedPaths" },
        {
          op: "append",
          path: "/mounts",
          values: [
            { destination: "/added", type: "tmpfs", source: "tmpfs", options: ["nosuid", "ro"] },
          ],
        },
      ],
    });
    expect(inside(id, "cat /proc/sys/kernel/domainname")).to.equal("of.test");
    expect(status(id, "Groups").trim().split(" ")).to.include.members(["7", "8"]);
    expect(inside(id, "grep -c /proc/kcore /proc/mounts || true")).to.equal("0");
    expect(inside(id, "grep ' /added ' /proc/mounts")).to.match(/tmpfs ro,nosuid/);
  });

  it("adds and removes options of mounts, recursive read-only among them", () => {
    const source = engine.folder("volume");
    mkdirSync(`${source}/below`, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", `${source}/below`]);
    try {
      const id = started(
        {
          ops: [
            {
              op: "mountOptions",
              destination: "/m",
              add: ["noexec", "nodev", "nosuid", "rro"],
              remove: ["rw"],
            },
          ],
        },
        `--volume=${source}:/m`,
      );
      const [top, below] = inside(id, "grep ' /m' /proc/mounts").split("\n");
      expect(top).to.match(/ \/m \w+ ro,nosuid,nodev,noexec/);
      expect(below).to.match(/ \/m\/below tmpfs ro,/);
    } finally {
      execFileSync("umount", [`${source}/below`]);
    }
  });

  it("gives a user other than root ambient capabilities", () => {
    const id = started(
      { ops: [{ op: "ambientCapabilities", add: ["CAP_NET_BIND_SERVICE"] }] },
      "--user=1000:1000",
    );
    for (const field of ["CapAmb", "CapEff", "CapPrm", "CapInh"])
      expect(status(id, field), field).to.equal("0000000000000400");
  });

  it("clamps the OOM score to what the kernel allows", () => {
    const id = started({ ops: [{ op: "oomScoreAdj", value: -998 }] });
    const score = Number(inside(id, "cat /proc/1/oom_score_adj"));
    // The shim's own score is one above containerd's, which is 0 where nobody set it.
    expect(score).to.be.at.least(-998).and.at.most(1);
    const raised = started({ ops: [{ op: "oomScoreAdj", value: 900 }] });
    expect(inside(raised, "cat /proc/1/oom_score_adj")).to.equal("900");
  });

  it("hands exec, update, pause and top through", () => {
    const id = started({});
    engine.docker("pause", id);
    engine.docker("unpause", id);
    engine.docker("update", "--cpu-shares=512", id);
    expect(engine.docker("top", id)).to.contain("sleep");
    expect(existsSync(`${editsFolder}/${id}`)).to.equal(false);
  });
});
