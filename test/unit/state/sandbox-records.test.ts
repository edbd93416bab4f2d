import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { SandboxRecords } from "../../../src/state/sandbox-records.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const record = (name: string, more: Partial<SandboxRecord> = {}): SandboxRecord => ({
  name,
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
    expect(again.byName("other")?.network).to.deep.equal({ plugins: [{ type: "bridge" }] });
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
    const revision = records.revision;
    await records.delete(one);
    await records.delete(one);
    expect(records.revision).to.be.above(revision);
    expect([records.byName("one"), records.byId("1".repeat(64))]).to.deep.equal([
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
    ["of another version", (text: string) => text.replace('"version":1', '"version":2')],
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
    expect(records.byName("one")?.phase).to.equal("ready");
    await records.saveIfPossible({ ...one, phase: "stopped" });
    expect(records.byName("one")?.phase).to.equal("stopped");
    await records.delete(one);
    expect(records.all()).to.deep.equal([]);
  });
});
