import { create as message, type MessageInitShape } from "@bufbuild/protobuf";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import type { RuntimeFeatures } from "../../src/convert/engine-facts.ts";
import { withAdjustment } from "../../src/convert/nri-edits.ts";
import { planAdjustment } from "../../src/convert/nri-plan.ts";
import { meets } from "../../src/convert/runtime-features.ts";
import {
  ContainerAdjustmentSchema,
  IOPrioClass,
  LinuxSchedulerPolicy,
} from "../../src/gen/nri/v1alpha1/api_pb.js";
import { ContainerConfigSchema } from "../../src/gen/runtime/v1/api_pb.js";
import {
  busybox,
  docklineOci,
  removeEdits,
  startOciEngine,
  writeEdits,
  type OciEngine,
} from "../support/oci-engine.ts";
import { modern } from "../unit/convert/support.ts";

type Adjustment = MessageInitShape<typeof ContainerAdjustmentSchema>;

// What the translation of an adjustment makes of a container on a real engine and OCI runtime. Needs root.

describe("dockline-oci: adjustments of NRI, as the container sees them", function () {
  this.timeout(60_000);
  let engine: OciEngine;
  let features: RuntimeFeatures;
  const made: string[] = [];

  before(async () => {
    engine = await startOciEngine({ dockline: [] });
    const runtime = process.env["DOCKLINE_TEST_RUNC"] ?? "runc";
    features = JSON.parse(execFileSync(runtime, ["features"], { encoding: "utf8" })) as object;
  });
  after(() => engine.remove());
  afterEach(() => {
    for (const id of made.splice(0)) {
      engine.docker("rm", "-f", id);
      removeEdits(id);
    }
  });

  const editsOf = (adjust: Adjustment, id: string): Record<string, unknown> => {
    const { edits } = planAdjustment(message(ContainerAdjustmentSchema, adjust), {
      containerId: id,
      owners: undefined,
      config: message(ContainerConfigSchema),
      pod: undefined,
      engine: {
        ...modern,
        editing: { name: "dockline", recursiveReadOnly: true, lists: true, features },
      },
      devices: [],
      mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    });
    return { ...withAdjustment({ v: 1, containerId: id }, edits) };
  };
  const create = (adjust: Adjustment, options: string[] = [], command = ["sleep", "1000"]) => {
    const id = engine.docker(
      ...["create", "--runtime=dockline", "--network=none", ...options],
      ...[busybox, ...command],
    );
    made.push(id);
    writeEdits(id, editsOf(adjust, id));
    return id;
  };
  const started = (adjust: Adjustment, options?: string[], command?: string[]): string => {
    const id = create(adjust, options, command);
    engine.docker("start", id);
    return id;
  };
  const inside = (id: string, command: string): string =>
    engine.docker("exec", id, "sh", "-c", command);

  it("args take the place of the command", () => {
    const id = started({ args: ["sh", "-c", "exec sleep 7777"] });
    expect(inside(id, "tr '\\0' ' ' </proc/1/cmdline").trim()).to.equal("sleep 7777");
  });

  it("variables are set, replaced and removed", () => {
    const env = [{ key: "A", value: "new" }, { key: "-B" }, { key: "C", value: "x=y" }];
    const id = started({ env }, ["-e", "A=old", "-e", "B=old", "-e", "D=kept"]);
    const seen = inside(id, "tr '\\0' '\\n' </proc/1/environ").split("\n");
    expect(seen).to.include.members(["A=new", "C=x=y", "D=kept"]);
    expect(seen.filter((line) => /^[AB]=/.test(line))).to.deep.equal(["A=new"]);
  });

  it("mounts are added below others, replaced and removed", () => {
    for (const name of ["old", "new", "below"]) {
      mkdirSync(engine.folder(name));
      writeFileSync(engine.folder(`${name}/${name}`), "");
    }
    mkdirSync(engine.folder("new/sub"));
    const bind = (destination: string, source: string) => ({
      destination,
      source: engine.folder(source),
      type: "bind",
      options: ["rbind", "ro", "rprivate"],
    });
    const id = started(
      { mounts: [bind("/m/sub", "below"), bind("/m", "new"), { destination: "-/gone" }] },
      ["-v", `${engine.folder("old")}:/m`, "-v", `${engine.folder("old")}:/gone`],
    );
    expect(inside(id, "ls /m /m/sub").split("\n")).to.include.members(["new", "below"]);
    expect(inside(id, "ls -A /m /gone 2>&1 || true")).to.not.contain("old");
    expect(inside(id, "cat /proc/1/mounts")).to.not.contain(" /gone ");
    expect(inside(id, "touch /m/x 2>&1 || true")).to.contain("Read-only");
  });

  it("devices come with their rule, and go", () => {
    const id = started(
      {
        linux: {
          devices: [
            { path: "/dev/mine", type: "c", major: 1n, minor: 5n, fileMode: { value: 0o640 } },
            { path: "-/dev/theirs" },
          ],
        },
      },
      ["--device=/dev/full:/dev/theirs"],
    );
    expect(inside(id, "stat -c '%a %t %T' /dev/mine")).to.equal("640 1 5");
    expect(inside(id, "head -c 2 /dev/mine | od -An -tx1").trim()).to.equal("00 00");
    expect(inside(id, "ls /dev")).to.not.contain("theirs");
  });

  it("rlimits take the place of those of their type", () => {
    const unlimited = 2n ** 64n - 1n;
    const id = started(
      {
        rlimits: [
          { type: "RLIMIT_NOFILE", hard: 2000n, soft: 1000n },
          { type: "RLIMIT_CORE", hard: unlimited, soft: 0n },
        ],
      },
      ["--ulimit=nofile=500:500"],
    );
    const limits = inside(id, "cat /proc/1/limits").replaceAll(/ +/g, " ");
    expect(limits).to.contain("Max open files 1000 2000");
    expect(limits).to.contain("Max core file size 0 unlimited");
  });

  it("hooks run on the host", () => {
    const [hook, said] = [engine.folder("hook"), engine.folder("said")];
    writeFileSync(hook, `#!/bin/sh\ncat > ${said}; echo "$1 $V" >> ${said}\n`);
    chmodSync(hook, 0o755);
    const args = ["hook", "word"];
    const id = started({
      hooks: { createRuntime: [{ path: hook, args, env: ["V=1"], timeout: { value: 10n } }] },
      annotations: { "example.com/key": "value" },
    });
    const text = readFileSync(said, "utf8");
    expect(text).to.contain(id).and.contain("word 1").and.contain('"example.com/key":"value"');
  });

  it("a seccomp policy takes the place of Docker's", () => {
    const policy = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: { value: 28 } },
      ],
    };
    const command = ["sh", "-c", "mkdir /x 2>/said; exec sleep 1000"];
    const id = started({ linux: { seccompPolicy: policy } }, [], command);
    expect(inside(id, "while ! test -s /said; do :; done; cat /said")).to.contain("No space left");
  });

  it("namespaces are replaced, and sysctls are set in them", () => {
    const id = started(
      { linux: { namespaces: [{ type: "ipc" }], sysctl: { "kernel.msgmax": "12345" } } },
      ["--ipc=host"],
    );
    expect(inside(id, "cat /proc/sys/kernel/msgmax")).to.equal("12345");
    expect(readFileSync("/proc/sys/kernel/msgmax", "utf8").trim()).to.not.equal("12345");
  });

  it("the OOM score is set", () => {
    const id = started({ linux: { oomScoreAdj: { value: 321n } } });
    expect(inside(id, "cat /proc/1/oom_score_adj")).to.equal("321");
  });

  it("a rule of the device cgroup is added", () => {
    const numbers = { major: { value: 7n }, minor: { value: 0n } };
    const rule = { allow: true, type: "b", ...numbers, access: "r" };
    const open = (id: string) => inside(id, "mknod /x b 7 0; head -c 1 /x 2>&1 >/dev/null || true");
    expect(open(started({}))).to.contain("not permitted");
    const allowed = started({ linux: { resources: { devices: [rule] } } });
    expect(open(allowed)).to.not.contain("not permitted");
  });

  it("what the runtime would pass over starts no container; what it knows is there", () => {
    const id = create({});
    writeEdits(id, {
      ops: [
        {
          op: "set",
          path: "/process/ioPriority",
          value: { class: "IOPRIO_CLASS_IDLE", priority: 0 },
        },
      ],
      requires: ["spec:1.1.0"],
    });
    if (meets(features, "spec:1.1.0")) engine.docker("start", id);
    else expect(engine.dockerFails("start", id)).to.contain("does not carry out spec:1.1.0");
  });

  it("scheduler and I/O priority are those of the process, where the runtime knows them", function () {
    if (!meets(features, "spec:1.1.0")) {
      expect(() =>
        create({ linux: { ioPriority: { class: IOPrioClass.IOPRIO_CLASS_IDLE } } }),
      ).to.throw("linux.io_priority: the real runtime would pass over it");
      return;
    }
    const id = started({
      linux: {
        scheduler: { policy: LinuxSchedulerPolicy.SCHED_BATCH, nice: 3 },
        ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 6 },
      },
    });
    const stat = inside(id, "cat /proc/1/stat").split(") ")[1]?.split(" ");
    // Of proc(5): nice is field 19 and policy field 41; these begin with the third.
    expect([stat?.[16], stat?.[38]]).to.deep.equal(["3", "3"]);
    expect(inside(id, "busybox ionice -p 1")).to.contain("prio 6");
  });

  it("is probed with what the runtime says of itself", () => {
    const probed = execFileSync(
      "sh",
      ["-c", '"$0" --dockline-probe=/nonexistent || true', docklineOci],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const { features: said } = JSON.parse(probed) as { features: RuntimeFeatures };
    expect(said.ociVersionMax).to.equal(features.ociVersionMax);
    expect(said.mountOptions).to.deep.equal(features.mountOptions);
  });
});
