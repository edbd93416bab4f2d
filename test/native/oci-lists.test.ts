import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { meets } from "../../src/convert/runtime-features.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { architectures, commandOf, type Architecture } from "./commands.ts";

// Lists by key and what the real runtime must know, with a shell script as that runtime. Needs root.

const features = {
  ociVersionMax: "1.1.0",
  hooks: ["prestart"],
  mountOptions: ["idmap"],
  linux: {
    namespaces: ["time"],
    intelRdt: { enabled: true, schemata: false },
    memoryPolicy: { modes: ["MPOL_BIND"], flags: ["MPOL_F_STATIC_NODES"] },
    netDevices: { enabled: true },
  },
};

describe("dockline-oci: lists and requirements", function () {
  this.timeout(60_000);
  const temp = tempFolder();
  after(() => temp.remove());

  let runtimes = 0;
  const runtimeWith = (answer: unknown): string => {
    const path = temp.path(`runtime-${(runtimes += 1)}`);
    const body = `[ "$1" = features ] && { echo '${JSON.stringify(answer)}'; exit; }\necho ran`;
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return path;
  };
  const runtime = runtimeWith(features);

  interface Done {
    readonly status: number | null;
    readonly stdout: string;
    readonly stderr: string;
    readonly config: string;
  }
  const createOn = (
    architecture: Architecture,
    edits: object,
    spec: object,
    real = runtime,
  ): Done => {
    const [bundle, folder] = [temp.path(`bundle-${architecture}`), temp.path("edits")];
    mkdirSync(bundle, { recursive: true });
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const text = JSON.stringify({ v: 1, containerId: "c1", ...edits });
    writeFileSync(join(folder, "c1.json"), text, { mode: 0o600 });
    const [command, ...first] = commandOf("oci", architecture);
    const args = [`--real-runtime=${real}`, `--edits=${folder}`, "create", "-b", bundle, "c1"];
    const { status, stdout, stderr } = spawnSync(command, [...first, ...args], {
      encoding: "utf8",
    });
    const config = readFileSync(join(bundle, "config.json"), "utf8");
    return { status, stdout, stderr, config };
  };
  /** The same on both. */
  const create = (edits: object, spec: object, real = runtime): Done => {
    const [native, emulated] = architectures.map((one) => createOn(one, edits, spec, real));
    expect(emulated).to.deep.equal(native);
    return native!;
  };
  const edited = (ops: readonly object[], spec: object): unknown => {
    const { status, stderr, config } = create({ ops }, spec);
    expect([status, stderr]).to.deep.equal([0, ""]);
    return JSON.parse(config);
  };

  it("puts entries in the place of those with their key, or behind them", () => {
    const put = (...values: object[]) => ({ op: "listPut", path: "/a/b", key: "k", values });
    const list = [{ k: "1", x: 1 }, { k: "2" }, { k: "1", x: 2 }, { other: 1 }, "text"];
    expect(edited([put({ k: "1", x: 3 }, { k: "3" })], { a: { b: list } })).to.deep.equal({
      a: { b: [{ k: "1", x: 3 }, { k: "2" }, { other: 1 }, "text", { k: "3" }] },
    });
    expect(edited([put({ k: "1" })], {})).to.deep.equal({ a: { b: [{ k: "1" }] } });
    expect(edited([put({ k: "1" })], { a: { b: null } })).to.deep.equal({ a: { b: [{ k: "1" }] } });
  });

  it("writes integers of 64 bits, which come as text", () => {
    const values = [{ type: "A", hard: "18446744073709551615", soft: "0" }];
    const op = { op: "listPut", path: "/l", key: "type", values, integers: ["hard", "soft"] };
    const { config } = create({ ops: [op] }, {});
    expect(config).to.contain('"hard":18446744073709551615').and.contain('"soft":0');
  });

  it("drops entries by key, and variables by name", () => {
    const drop = { op: "listDrop", path: "/l", key: "k", names: ["a", "absent"] };
    expect(edited([drop], { l: [{ k: "a" }, { k: "b" }, { k: "a", x: 1 }] })).to.deep.equal({
      l: [{ k: "b" }],
    });
    expect(edited([drop], {})).to.deep.equal({});
    const env = ["A=1", "A=2", "AB=2", "A", "A="];
    expect(edited([{ op: "envDrop", name: "A" }], { process: { env } })).to.deep.equal({
      process: { env: ["AB=2", "A"] },
    });
    expect(edited([{ op: "envDrop", name: "A" }], {})).to.deep.equal({});
    expect(edited([{ op: "env", name: "A", value: "3" }], { process: { env } })).to.deep.equal({
      process: { env: ["AB=2", "A", "A=3"] },
    });
  });

  it("sorts mounts by depth, and keeps the order of equals", () => {
    const mounts = ["/a/b/c", "/x/y", "/", "/b", "//a//", "/a/b/../..", "/a/./c/", "/..", "/x/z"];
    const sorted = edited([{ op: "sortMounts" }], {
      mounts: mounts.map((destination) => ({ destination })),
    }) as { mounts: { destination: string }[] };
    expect(sorted.mounts.map(({ destination }) => destination)).to.deep.equal([
      "/",
      "/b",
      "//a//",
      "/a/b/../..",
      "/..",
      "/x/y",
      "/a/./c/",
      "/x/z",
      "/a/b/c",
    ]);
    expect(edited([{ op: "sortMounts" }], {})).to.deep.equal({});
  });

  it("lists end as a model says (amd64 alone)", () => {
    const key = fc.constantFrom("a", "b", "c");
    const entry = fc.record({ k: key, n: fc.nat(9) });
    const op = fc.oneof(
      fc.record({ op: fc.constant("listPut" as const), values: fc.array(entry, { maxLength: 3 }) }),
      fc.record({ op: fc.constant("listDrop" as const), names: fc.array(key, { maxLength: 2 }) }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 4 }), fc.array(op, { maxLength: 4 }), (l, ops) => {
        let model = [...l];
        for (const one of ops) {
          if (one.op === "listDrop") model = model.filter(({ k }) => !one.names.includes(k));
          else
            for (const value of one.values) {
              const at = model.findIndex(({ k }) => k === value.k);
              const rest = model.filter(({ k }) => k !== value.k);
              model = rest.toSpliced(at < 0 ? rest.length : at, 0, value);
            }
        }
        const given = ops.map((one) => ({ ...one, path: "/l", key: "k" }));
        const { status, config } = createOn("amd64", { ops: given }, { l });
        expect(status).to.equal(0);
        expect(JSON.parse(config)).to.deep.equal({ l: model });
      }),
      { numRuns: 60 },
    );
  });

  const path = { path: "/l", key: "k" };
  for (const [what, op, sentence] of [
    ["a value without the key", { op: "listPut", ...path, values: [{ x: 1 }] }, "has no k"],
    ["values that are no list", { op: "listPut", ...path, values: {} }, "must be a list"],
    ["names that are no texts", { op: "listDrop", ...path, names: [1] }, "list of strings"],
    ["a list that is none", { op: "listDrop", path: "/o", key: "k", names: [] }, "not a list"],
    ["an unknown member", { op: "sortMounts", by: "size" }, 'unknown member "by"'],
    ["a name with =", { op: "envDrop", name: "A=1" }, "not a variable's name"],
    [
      "an integer that is none",
      { op: "listPut", ...path, values: [{ k: "a", n: "1,2" }], integers: ["n"] },
      "the text of an integer",
    ],
    [
      "an integer with zeros before it",
      { op: "listPut", ...path, values: [{ k: "a", n: "007" }], integers: ["n"] },
      "the text of an integer",
    ],
  ] as const)
    it(`refuses ${what}`, () => {
      const { status, stdout, stderr } = create({ ops: [op] }, { o: {} });
      expect([status, stdout]).to.deep.equal([1, ""]);
      expect(stderr)
        .to.match(/^dockline-oci: [^\n]+\n$/)
        .and.contain(sentence);
    });

  const requirements = [
    ...["spec:1.0.9", "spec:1.1.0", "spec:1.1.1", "spec:1.2.0"],
    ...["netDevices", "intelRdt", "intelRdt.schemata", "intelRdt.monitoring"],
    ...["memoryPolicy:MPOL_BIND", "memoryPolicy:MPOL_LOCAL"],
    ...["memoryPolicyFlag:MPOL_F_STATIC_NODES", "memoryPolicyFlag:MPOL_F_NUMA_BALANCING"],
    ...["hook:prestart", "hook:poststop", "namespace:time", "namespace:cgroup"],
    ...["mountOption:ro", "mountOption:idmap", "mountOption:nosuch"],
  ];
  for (const [name, answer] of [
    ["a runtime", features],
    ["one before 1.1.0", { ociVersionMax: "1.1.0-rc.1" }],
    ["one that says nothing", null],
  ] as const)
    it(`requires of ${name} what Dockline requires`, () => {
      const real = runtimeWith(answer);
      for (const requirement of requirements) {
        const { status, stdout, stderr } = create({ requires: [requirement] }, {}, real);
        const met = meets(answer ?? undefined, requirement);
        expect([status, stdout], requirement).to.deep.equal(met ? [0, "ran\n"] : [1, ""]);
        if (!met) expect(stderr).to.contain(`does not carry out ${requirement}`);
      }
    });

  it("refuses a requirement that it does not know", () => {
    const { status, stderr } = create({ requires: ["magic:1"] }, {});
    expect(status).to.equal(1);
    expect(stderr).to.contain('"magic:1", which is unknown');
  });
});
