import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { findLeftOvers, removeLeftOvers } from "../../../src/admin/leftovers.ts";
import { findProcesses, flagOf } from "../../../src/admin/migrate-node.ts";

describe("left-overs of other runtimes", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-left-"));
    mkdirSync(join(root, "dockershim", "sandbox"), { recursive: true });
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const file = (name: string, text: string): void =>
    writeFileSync(join(root, "dockershim", "sandbox", name), text);
  const id = (digit: string): string => digit.repeat(64);

  it("are the checkpoints of pods that are gone, damaged ones too, and nothing else", async () => {
    const shim = join(root, "dockershim");
    file(id("a"), '{"version":"v1","name":"web","namespace":"shop","data":{},"checksum":1}');
    file(id("b"), "");
    file(id("c"), '{"version":"v1","name":"lives","namespace":"shop","data":{},"checksum":1}');
    file("notes.txt", "an operator's");
    const found = await findLeftOvers(shim, new Set([id("c")]));
    expect(found.map(({ pod }) => pod).sort()).to.deep.equal(["damaged", "shop/web"]);
    await removeLeftOvers(shim, found);
    expect(readdirSync(join(shim, "sandbox")).sort()).to.deep.equal([id("c"), "notes.txt"]);
  });

  it("leave no empty folders behind, and a folder that was never there is as good", async () => {
    const shim = join(root, "dockershim");
    file(id("a"), "{}");
    await removeLeftOvers(shim, await findLeftOvers(shim, new Set()));
    expect(existsSync(shim)).to.equal(false);
    expect(await findLeftOvers(shim, new Set())).to.deep.equal([]);
    await removeLeftOvers(shim, []);
  });

  it("are asked of the running cri-dockerd's own command line", () => {
    const proc = join(root, "proc");
    for (const [pid, args] of [
      ["12", ["/usr/bin/cri-dockerd", "--cni-cache-dir=/x", "--cri-dockerd-root-directory", "/y"]],
      ["13", ["/usr/bin/other", "cri-dockerd"]],
    ] as const) {
      mkdirSync(join(proc, pid), { recursive: true });
      writeFileSync(join(proc, pid, "cmdline"), args.map((arg) => `${arg}\0`).join(""));
    }
    mkdirSync(join(proc, "14"));
    const found = findProcesses("cri-dockerd", proc);
    expect(found.map(({ pid }) => pid)).to.deep.equal([12]);
    expect(flagOf(found[0]?.args ?? [], "--cni-cache-dir")).to.equal("/x");
    expect(flagOf(found[0]?.args ?? [], "--cri-dockerd-root-directory")).to.equal("/y");
    expect(flagOf(found[0]?.args ?? [], "--docker-endpoint")).to.equal(undefined);
  });
});
