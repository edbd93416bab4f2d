import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import type { AskedName } from "../../../src/convert/names.ts";
import { SandboxRecords } from "../../../src/state/sandbox-records.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const record = (name: string, more: Partial<SandboxRecord> = {}): SandboxRecord => ({
  name: name as AskedName,
  phase: "ready",
  configHash: "h",
  hostNetwork: false,
  config: "",
  runtimeHandler: "",
  createdAtNs: "9007199254740993",
  ips: [],
  ...more,
});

describe("sandbox records", () => {
  let temporary: ReturnType<typeof tempFolder>;
  let stateDir: string;

  beforeEach(() => {
    temporary = tempFolder();
    stateDir = temporary.path("state");
  });
  afterEach(() => {
    temporary.remove();
  });

  const open = (): Promise<SandboxRecords> => SandboxRecords.open(stateDir, silentLogger);
  const folder = (): string => join(stateDir, "sandboxes");

  it("are there again after a restart, whole, with every field", async () => {
    const id = "a".repeat(64);
    const records = await open();
    const long = record("k8s_POD_".padEnd(700, "x"), { id, ips: ["10.0.0.1", "fd00::1"] });
    await records.save({ ...long, phase: "creating" });
    await records.save(long);
    await records.save(record("other", { network: { plugins: [{ type: "bridge" }] } }));
    const again = await open();
    expect(again.byId(id)).to.deep.equal(long);
    expect(again.byName("other" as AskedName)?.network).to.deep.equal({
      plugins: [{ type: "bridge" }],
    });
    expect(again.all()).to.have.length(2);
  });

  it("are found by unique prefixes of their ids only", async () => {
    const records = await open();
    await records.save(record("one", { id: `ab${"1".repeat(62)}` }));
    await records.save(record("two", { id: `ac${"2".repeat(62)}` }));
    await records.save(record("no id yet"));
    expect(records.byIdPrefix("ab")?.name).to.equal("one");
    expect(records.byIdPrefix(`ac${"2".repeat(62)}`)?.name).to.equal("two");
    expect(records.byIdPrefix("ad")).to.equal(undefined);
    expect(() => records.byIdPrefix("a")).to.throw("several");
  });

  it("are gone for good when deleted, by name and by id", async () => {
    const records = await open();
    const one = record("one", { id: "1".repeat(64) });
    await records.save(one);
    await records.delete(one);
    await records.delete(one);
    expect([records.byName("one" as AskedName), records.byId("1".repeat(64))]).to.deep.equal([
      undefined,
      undefined,
    ]);
    expect((await open()).all()).to.deep.equal([]);
    expect(readdirSync(folder())).to.deep.equal([]);
  });

  for (const [what, damage] of [
    ["cut off", (text: string) => text.slice(0, text.length / 2)],
    ["empty", () => ""],
    ["changed", (text: string) => text.replace("ready", "stopped")],
    ["of no version", (text: string) => text.replace('"version":1', '"version":0')],
    ["no JSON object", () => "null"],
  ] as const) {
    it(`that are ${what} are put aside, the others live`, async () => {
      const records = await open();
      await records.save(record("good"));
      await records.save(record("bad"));
      const files = readdirSync(folder()).map((file) => join(folder(), file));
      const bad = files.find((file) => readFileSync(file, "utf8").includes('"bad"')) ?? "";
      writeFileSync(bad, damage(readFileSync(bad, "utf8")));
      expect((await open()).all().map(({ name }) => name)).to.deep.equal(["good"]);
      expect(readdirSync(folder()).filter((file) => file.endsWith(".corrupt"))).to.have.length(1);
    });
  }

  it("of a newer version are left alone, and their sandbox is refused by name", async () => {
    const records = await open();
    const one = record("one", { id: "1".repeat(64), network: { plugins: [] } });
    await records.save(one);
    const [file = ""] = readdirSync(folder());
    const path = join(folder(), file);
    const text = readFileSync(path, "utf8").replace('"version":1', '"version":2');
    writeFileSync(path, text);
    const again = await open();
    expect(again.all()).to.deep.equal([]);
    const failed = await again.save(one).catch((error: unknown) => error as Error);
    expect(failed).to.include({ kind: "FailedPrecondition" });
    expect((failed as Error).message).to.match(/written by a newer version/);
    await again.saveIfPossible({ ...one, phase: "stopping" });
    await again.delete(one);
    expect(readdirSync(folder())).to.deep.equal([file]);
    expect(readFileSync(path, "utf8")).to.equal(text);
  });

  it("owe nothing when an older version, which keeps what it does not know, has released the network", async () => {
    const records = await open();
    const delFailure = "plugin bridge: not now";
    await records.save(record("released", { phase: "stopped", delFailure }));
    const owing = record("owing", { phase: "stopping", delFailure, network: { plugins: [] } });
    await records.save(owing);
    const again = await open();
    expect(again.byName("released" as AskedName)).to.deep.equal(
      record("released", { phase: "stopped" }),
    );
    expect(again.byName("owing" as AskedName)).to.deep.equal(owing);
  });

  it("that cannot be read keep nothing from starting", async () => {
    const records = await open();
    await records.save(record("good"));
    mkdirSync(join(folder(), "x.json"));
    mkdirSync(join(folder(), ".y.json.tmp"));
    // What cannot be put aside: the place is taken.
    writeFileSync(join(folder(), "z.json"), "damaged");
    mkdirSync(join(folder(), "z.json.corrupt", "full"), { recursive: true });
    expect((await open()).all().map(({ name }) => name)).to.deep.equal(["good"]);
  });

  it("that cannot be read now are left alone for a start that can, and refused by name", async () => {
    const records = await open();
    const one = record("one", { id: "1".repeat(64), network: { plugins: [] } });
    await records.save(one);
    const [file = ""] = readdirSync(folder());
    const path = join(folder(), file);
    // A loop of links cannot be opened, whoever tries; the text is kept beside it.
    renameSync(path, `${path}.kept`);
    symlinkSync(file, path);
    const again = await open();
    expect(again.all()).to.deep.equal([]);
    const failed = await again.save(one).catch((error: unknown) => error as Error);
    expect(failed).to.include({ kind: "FailedPrecondition" });
    expect((failed as Error).message).to.match(/could not be read/);
    await again.saveIfPossible({ ...one, phase: "stopping" });
    await again.delete(one);
    expect(readdirSync(folder()).sort()).to.deep.equal([file, `${file}.kept`]);
    renameSync(`${path}.kept`, path);
    expect((await open()).byName("one" as AskedName)).to.deep.equal(one);
  });

  it("drop what a kill in the middle of a write left", async () => {
    await open();
    writeFileSync(join(folder(), ".x.json.0011.tmp"), "half");
    await open();
    expect(readdirSync(folder())).to.deep.equal([]);
  });

  it("are nobody else's to read, also below folders of looser modes", async () => {
    mkdirSync(folder(), { recursive: true });
    chmodSync(folder(), 0o755);
    const records = await open();
    await records.save(record("one"));
    expect(statSync(folder()).mode & 0o777).to.equal(0o700);
    const [file = ""] = readdirSync(folder());
    expect(statSync(join(folder(), file)).mode & 0o777).to.equal(0o600);
  });

  it("follow the disk, unless it is Stop or Remove that must go on", async () => {
    const records = await open();
    const one = record("one", { id: "1".repeat(64) });
    await records.save(one);
    rmSync(folder(), { recursive: true });
    writeFileSync(folder(), "not a folder any more");
    const failed = await records.save({ ...one, phase: "stopping" }).then(
      () => false,
      () => true,
    );
    expect(failed).to.equal(true);
    expect(records.byName("one" as AskedName)?.phase).to.equal("ready");
    await records.saveIfPossible({ ...one, phase: "stopped" });
    expect(records.byName("one" as AskedName)?.phase).to.equal("stopped");
    await records.delete(one);
    expect(records.all()).to.deep.equal([]);
  });
});
