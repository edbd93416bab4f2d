import { expect } from "chai";
import { parseCdiSpec, resolveCdi } from "../../../src/convert/cdi-spec.ts";
import { refuses } from "./support.ts";

const spec = (kind: string, ...names: string[]) =>
  parseCdiSpec({
    cdiVersion: "0.6.0",
    kind,
    containerEdits: { env: [`ALL=${kind}`] },
    devices: names.map((name) => ({ name, containerEdits: { env: [`ONE=${name}`] } })),
  });
const placed = (folder: number, path: string, ...of: Parameters<typeof spec>) => ({
  folder,
  path,
  spec: spec(...of),
});
const env = (edits: ReturnType<typeof resolveCdi>) => edits.flatMap((edit) => edit.env ?? []);

describe("convert/cdi-spec", () => {
  it("gives what is said of all devices once, before the first of them", () => {
    const specs = [placed(0, "/a", "v/c", "x", "y"), placed(0, "/b", "v/d", "x")];
    expect(env(resolveCdi(["v/c=x", "v/d=x", "v/c=y", "v/c=x"], specs))).to.deep.equal([
      ...["ALL=v/c", "ONE=x", "ALL=v/d", "ONE=x", "ONE=y"],
    ]);
    expect(resolveCdi([], specs)).to.deep.equal([]);
  });

  it("prefers the later folder, and refuses two of one folder and none", () => {
    const early = placed(0, "/etc/cdi/a", "v/c", "x");
    const late = {
      ...placed(1, "/run/cdi/a", "v/c", "x"),
      spec: parseCdiSpec({ kind: "v/c", devices: [{ name: "x" }] }),
    };
    expect(env(resolveCdi(["v/c=x"], [late, early]))).to.deep.equal([]);
    refuses(
      () => resolveCdi(["v/c=x"], [early, { ...early, path: "/etc/cdi/b" }]),
      /both .*a and .*b/,
    );
    refuses(() => resolveCdi(["v/c=y"], [early]), /no device "v\/c=y"/);
  });

  it("reads all members that edits can carry", () => {
    const containerEdits = {
      env: ["A=1"],
      deviceNodes: [
        {
          path: "/dev/a",
          hostPath: "/dev/b",
          type: "c",
          major: 1,
          minor: 2,
          fileMode: 438,
          uid: 3,
          gid: 4,
          permissions: "r",
        },
        { path: "/dev/c" },
      ],
      mounts: [{ hostPath: "/h", containerPath: "/c", type: "bind", options: ["ro"] }],
      hooks: [{ hookName: "poststop", path: "/bin/h", args: ["h"], env: ["E=1"], timeout: 3 }],
      additionalGids: [5],
    };
    const { devices } = parseCdiSpec({ kind: "v/c", devices: [{ name: "x", containerEdits }] });
    expect(devices.get("x")).to.deep.equal(containerEdits);
  });

  for (const [what, value] of [
    ["a list", []],
    ["no kind", { devices: [] }],
    ["a name twice", { kind: "v/c", devices: [{ name: "x" }, { name: "x" }] }],
    ["a device without a name", { kind: "v/c", devices: [{}] }],
    ["a number for a text", { kind: "v/c", containerEdits: { env: [1] } }],
    ["a text for a number", { kind: "v/c", containerEdits: { additionalGids: ["1"] } }],
    [
      "an unknown kind of node",
      { kind: "v/c", containerEdits: { deviceNodes: [{ path: "/d", type: "x" }] } },
    ],
    ["what no edit carries", { kind: "v/c", containerEdits: { intelRdt: {} } }],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => parseCdiSpec(value)).to.throw(Error);
    });
  }
});
