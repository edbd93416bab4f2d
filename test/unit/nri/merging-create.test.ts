import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  ContainerAdjustmentSchema,
  ContainerSchema,
  CreateContainerResponseSchema,
  Field,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment } from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { CollectedCreate } from "../../../src/nri/adjust.ts";
import {
  answer,
  createRequest,
  kindThrown,
  merging,
  update,
  waysToRemove,
  waysToSet,
  type Adjustment,
} from "./support.ts";

const json = (adjust: ContainerAdjustment | undefined) =>
  adjust === undefined ? undefined : toJson(ContainerAdjustmentSchema, adjust);
const asJson = (adjust: Adjustment) => json(create(ContainerAdjustmentSchema, adjust));

function collect(...answers: readonly (readonly [plugin: string, adjust: Adjustment])[]) {
  const collector = merging.create(createRequest());
  for (const [plugin, adjust] of answers) collector.add(plugin, answer(adjust));
  return collector.result();
}

const ownerOf = ({ owners }: CollectedCreate, field: string, key = "k"): string | undefined => {
  const number = Field[field as keyof typeof Field];
  const { simple = {}, compound = {} } = owners.owners["new"] ?? {};
  return simple[number] ?? compound[number]?.owners[key] ?? compound[number]?.owners[`/${key}`];
};

describe("answers to CreateContainer", () => {
  it("there is a way to set every field that has an owner", () => {
    const names = Object.keys(Field).filter((name) => Number.isNaN(Number(name)));
    expect([...Object.keys(waysToSet), "None", "OciHooks"].sort()).to.deep.equal(names.sort());
  });

  for (const [field, set] of Object.entries(waysToSet)) {
    it(`${field}: what one plugin sets is the answer`, () => {
      const result = collect(["10-a", set], ["20-b", {}]);
      expect(json(result.adjustment)).to.deep.equal(asJson(set));
      const key = field === "CdiDevices" ? "v/c=k" : "k";
      expect(ownerOf(result, field, key)).to.equal("10-a");
    });
    it(`${field}: two plugins are in conflict, and so is one with itself`, () => {
      for (const second of ["20-b", "10-a"]) {
        expect(() => collect(["10-a", set], [second, set])).to.throw(
          new RegExp(`^NRI plugins "${second}" and "10-a" both tried to set ${field}( "|$)`),
        );
        expect(kindThrown(() => collect(["10-a", set], [second, set]))).to.equal(
          "FailedPrecondition",
        );
      }
    });
  }

  for (const [field, { remove, override }] of Object.entries(waysToRemove)) {
    it(`${field}: removing and setting takes it over`, () => {
      const { adjustment, ...rest } = collect(["10-a", waysToSet[field] ?? {}], ["20-b", override]);
      expect(ownerOf({ adjustment, ...rest }, field)).to.equal("20-b");
      const text = JSON.stringify(json(adjustment));
      expect(text).to.not.contain('"-');
      const value = field === "Devices" ? '"type":"b"' : 'w"';
      expect(text).to.contain(value);
    });
    if (field === "Args") continue;
    it(`${field}: what is removed alone is gone, and nobody else can set it again`, () => {
      const set = waysToSet[field] ?? {};
      const result = collect(["10-a", set], ["20-b", remove]);
      expect(json(result.adjustment)).to.deep.equal(asJson(remove));
      expect(ownerOf(result, field)).to.equal("-20-b");
      expect(() => collect(["10-a", set], ["20-b", remove], ["30-c", set])).to.throw(
        'plugins "30-c" and "20-b"',
      );
      const again = collect(["10-a", set], ["20-b", remove], ["20-b", set]);
      expect(ownerOf(again, field)).to.equal("20-b");
    });
    if (field === "RdtClosID") continue;
    it(`${field}: what no plugin set can be removed by one and set by the next`, () => {
      const result = collect(["10-a", remove], ["20-b", waysToSet[field] ?? {}]);
      expect(json(result.adjustment)).to.deep.equal(asJson(waysToSet[field] ?? {}));
    });
  }

  it("hooks add up in the order of the plugins, and so do their owners", () => {
    const hooks = (path: string): Adjustment => ({ hooks: { prestart: [{ path }] } });
    const result = collect(["10-a", hooks("/a")], ["20-b", hooks("/b")]);
    expect(result.adjustment?.hooks?.prestart.map(({ path }) => path)).to.deep.equal(["/a", "/b"]);
    expect(ownerOf(result, "OciHooks")).to.equal("10-a,20-b");
    expect(ownerOf(collect(["10-a", { hooks: {} }]), "OciHooks")).to.equal(undefined);
  });

  it("device rules add up and have no owner", () => {
    const rule = (allow: boolean): Adjustment => ({
      linux: { resources: { devices: [{ allow, type: "c" }] } },
    });
    const { adjustment, owners } = collect(["10-a", rule(true)], ["20-b", rule(false)]);
    expect(adjustment?.linux?.resources?.devices.map(({ allow }) => allow)).to.deep.equal([
      true,
      false,
    ]);
    expect(owners.owners).to.be.empty;
  });

  it("an adjustment that says nothing is none", () => {
    expect(collect(["10-a", {}], ["20-b", { hooks: {}, args: [] }]).adjustment).to.equal(undefined);
  });

  it("removing the command gives the next plugin the container's own", () => {
    const collector = merging.create(createRequest({ args: ["own"] }));
    collector.add("10-a", answer({ args: ["a"] }));
    expect(collector.request.container?.args).to.deep.equal(["a"]);
    collector.add("20-b", answer({ args: [""] }));
    expect(collector.request.container?.args).to.deep.equal(["own"]);
    expect(collector.result().adjustment).to.equal(undefined);
  });

  it("the next plugin sees the container as adjusted so far", () => {
    const collector = merging.create(
      createRequest({
        env: ["A=1", "B=x=y", "C"],
        mounts: [{ destination: "/old" }, { destination: "/kept" }],
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 1n, soft: 1n }],
        annotations: { a: "1", b: "2" },
        linux: {
          namespaces: [{ type: "network", path: "/n" }, { type: "pid" }],
          resources: { hugepageLimits: [{ pageSize: "2MB", limit: 1n }] },
        },
      }),
    );
    collector.add(
      "10-a",
      answer({
        env: [{ key: "-A" }, { key: "B", value: "new" }],
        mounts: [{ destination: "-/old" }, { destination: "/new", source: "/s" }],
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 2n, soft: 2n }],
        annotations: { "-a": "", b: "3" },
        linux: {
          namespaces: [{ type: "-network" }, { type: "pid", path: "/p" }],
          resources: { hugepageLimits: [{ pageSize: "2MB", limit: 2n }] },
          rdt: { closId: { value: "gold" } },
        },
      }),
    );
    const { container } = collector.request;
    expect(container?.env).to.deep.equal(["C=", "B=new"]);
    expect(container?.mounts.map(({ destination }) => destination)).to.deep.equal([
      "/kept",
      "/new",
    ]);
    expect(container?.rlimits.map(({ hard }) => hard)).to.deep.equal([2n]);
    expect({ ...container?.annotations }).to.deep.equal({ b: "3" });
    expect(container?.linux?.namespaces.map(({ type, path }) => `${type}${path}`)).to.deep.equal([
      "pid/p",
    ]);
    expect(container?.linux?.resources?.hugepageLimits.map(({ limit }) => limit)).to.deep.equal([
      2n,
    ]);
    expect(container?.linux?.rdt?.closId?.value).to.equal("gold");
  });

  it("keys may have any name", () => {
    const set = (of: object) =>
      create(CreateContainerResponseSchema, {
        adjust: fromJson(ContainerAdjustmentSchema, of as never),
      });
    const collector = merging.create(createRequest());
    const odd = create(CreateContainerResponseSchema, { adjust: {} });
    Object.defineProperty(odd.adjust?.annotations, "__proto__", {
      value: "x",
      enumerable: true,
    });
    collector.add("10-a", odd);
    collector.add("20-b", set({ linux: { sysctl: { constructor: "y" } } }));
    const { adjustment } = collector.result();
    expect(Object.keys(adjustment?.annotations ?? {})).to.deep.equal(["__proto__"]);
    expect(Object.keys(adjustment?.linux?.sysctl ?? {})).to.deep.equal(["constructor"]);
  });

  it("an answer that is refused changes nothing", () => {
    const collector = merging.create(createRequest({ env: ["A=1"] }));
    collector.add("10-a", answer({ args: ["a"] }, [update("other", { cpu: { cpus: "0" } })]));
    const before = toJson(ContainerSchema, collector.request.container ?? create(ContainerSchema));
    const bad = answer({ env: [{ key: "X", value: "1" }], args: ["b"] });
    expect(() => {
      collector.add("20-b", bad);
    }).to.throw("both tried to set Args");
    const worse = answer({ env: [{ key: "X", value: "1" }] }, [
      update("other", { cpu: { mems: "0", cpus: "1" } }),
    ]);
    expect(() => {
      collector.add("20-b", worse);
    }).to.throw("both tried to set CPUSetCPUs");
    const { container } = collector.request;
    expect(toJson(ContainerSchema, container ?? create(ContainerSchema))).to.deep.equal(before);
    const { adjustment, updates: others, owners } = collector.result();
    expect(json(adjustment)).to.deep.equal({ args: ["a"] });
    expect(others.map((one) => one.linux?.resources?.cpu?.mems)).to.deep.equal([""]);
    expect(owners.owners["new"]?.compound).to.be.empty;
  });

  it("evictions, an update of the new container and answers beyond all measure are refused", () => {
    const cases: [RegExp, string, Parameters<typeof add>][] = [
      [/^NRI plugin 10-a: evict: /, "Unimplemented", [{ evict: [{ containerId: "x" }] }]],
      [/is being created/, "InvalidArgument", [{ update: [update("new", {})] }]],
      [
        /^NRI plugin 10-a: env: 1025 entries/,
        "ResourceExhausted",
        [{ adjust: { env: Array.from({ length: 1025 }, (_, i) => ({ key: `k${i}` })) } }],
      ],
      [
        /^NRI plugin 10-a: update: 1025 entries/,
        "ResourceExhausted",
        [{ update: Array.from({ length: 1025 }, () => update("x", {})) }],
      ],
    ];
    function add(response: object) {
      merging
        .create(createRequest())
        .add("10-a", create(CreateContainerResponseSchema, response as never));
    }
    for (const [text, kind, [response]] of cases) {
      expect(() => {
        add(response);
      }).to.throw(text);
      expect(
        kindThrown(() => {
          add(response);
        }),
      ).to.equal(kind);
    }
  });

  it("what the next plugin sees is what would be carried out (model)", () => {
    const word = fc.constantFrom("a", "b", "c");
    const step = fc.array(fc.record({ name: word, value: word, remove: fc.boolean() }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 4 }), (plugins) => {
        const collector = merging.create(createRequest({ env: ["a=0", "z=0"] }));
        plugins.forEach((entries, index) => {
          const unique = new Map(entries.map((entry) => [entry.name, entry]));
          // Every plugin removes before it sets, so that none is in conflict.
          const env = [...unique.values()].flatMap(({ name, value, remove }) => [
            { key: `-${name}` },
            ...(remove ? [] : [{ key: name, value }]),
          ]);
          try {
            collector.add(`${10 + index}-p`, answer({ env }));
          } catch (error) {
            // What one removed for good no other can set.
            expect(String(error)).to.contain("both tried to set Env");
          }
        });
        const seen = new Map(
          (collector.request.container?.env ?? []).map(
            (line) => line.split("=") as [string, string],
          ),
        );
        const made = new Map([
          ["a", "0"],
          ["z", "0"],
        ]);
        for (const { key, value } of collector.result().adjustment?.env ?? []) {
          if (key.startsWith("-")) made.delete(key.slice(1));
          else made.set(key, value);
        }
        expect([...seen].sort()).to.deep.equal([...made].sort());
      }),
    );
  });
});
