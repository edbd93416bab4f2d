import { expect } from "chai";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { EditsFolder } from "../../../src/state/edits-folder.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const id = "a".repeat(64);

describe("state/edits-folder", () => {
  let temp: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    temp = tempFolder();
  });
  afterEach(() => {
    temp.remove();
  });
  const mode = (path: string): number => statSync(path).mode & 0o7777;

  it("lets a namespace's root pass, and nobody else write", async () => {
    mkdirSync(temp.path("run"), { mode: 0o700 });
    mkdirSync(temp.path("run/oci"));
    chmodSync(temp.path("run"), 0o770);
    chmodSync(temp.path("run/oci"), 0o777);
    const { path } = await EditsFolder.open(temp.path("run"));
    expect(path).to.equal(temp.path("run/oci"));
    expect(mode(path)).to.equal(0o711);
    expect(mode(temp.path("run"))).to.equal(0o751);
  });

  it("makes both folders where there is none", async () => {
    await EditsFolder.open(temp.path("a/b"));
    expect(mode(temp.path("a/b/oci"))).to.equal(0o711);
    expect(mode(temp.path("a/b"))).to.equal(0o711);
  });

  it("writes a file that only root reads, in the place of an older one, and removes it", async () => {
    const folder = await EditsFolder.open(temp.path("run"));
    await folder.write({ containerId: id });
    await folder.write({ containerId: id, ...{ more: 1 } });
    const file = `${folder.path}/${id}.json`;
    expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({ containerId: id, more: 1 });
    expect(mode(file)).to.equal(0o600);
    await folder.remove(id);
    await folder.remove(id);
    expect(existsSync(file)).to.equal(false);
  });

  it("lists what belongs to containers, and drops what a kill left half written", async () => {
    const { path } = await EditsFolder.open(temp.path("run"));
    writeFileSync(`${path}/.${id}.json.abc.tmp`, "{");
    writeFileSync(`${path}/.features-1`, "{}");
    writeFileSync(`${path}/${id}.json`, "{}");
    mkdirSync(`${path}/${"b".repeat(64)}`);
    mkdirSync(`${path}/other`);
    const folder = await EditsFolder.open(temp.path("run"));
    expect(existsSync(`${path}/.${id}.json.abc.tmp`)).to.equal(false);
    expect(await folder.list()).to.deep.equal({ edits: [id], folders: ["b".repeat(64)] });
  });
});
