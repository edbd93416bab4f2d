import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { KernelFiles } from "../../../src/stats/kernel-files.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("files that a kernel may not have", () => {
  let temporary: ReturnType<typeof tempFolder>;
  let files: KernelFiles;
  beforeEach(() => {
    temporary = tempFolder();
    files = new KernelFiles();
  });
  afterEach(() => {
    temporary.remove();
  });

  const cgroup = (name: string, content: Record<string, string>): string => {
    const folder = temporary.path(name);
    mkdirSync(folder);
    for (const [file, text] of Object.entries(content)) writeFileSync(join(folder, file), text);
    return folder;
  };
  const read = (folder: string): string | undefined =>
    files.read(join(folder, "memory.peak"), "memory.peak");

  it("are read again after cgroups that ended while they were read", () => {
    for (const name of ["a", "b", "c", "d"]) {
      // The kernel removes the files before the folder.
      expect(read(cgroup(name, { "cgroup.procs": "" }))).to.equal(undefined);
    }
    expect(read(cgroup("alive", { "cgroup.procs": "1\n", "memory.peak": "7\n" }))).to.equal("7\n");
  });

  it("are read again after one cgroup that lacks their controller", () => {
    const lacking = cgroup("lacking", { "cgroup.procs": "1\n" });
    for (let round = 0; round < 5; round += 1) expect(read(lacking)).to.equal(undefined);
    const alive = cgroup("alive", { "cgroup.procs": "1\n", "memory.peak": "7\n" });
    expect(read(alive)).to.equal("7\n");
    for (const name of ["a", "b", "c", "d"]) read(cgroup(name, { "cgroup.procs": "1\n" }));
    expect(read(alive), "seen once, the kernel has it").to.equal("7\n");
  });

  it("are not asked for again when the kernel has none", () => {
    const folders = ["a", "b", "c"].map((name) => cgroup(name, { "cgroup.procs": "1\n" }));
    for (const folder of folders) read(folder);
    writeFileSync(join(folders[0] ?? "", "memory.peak"), "7\n");
    expect(read(folders[0] ?? "")).to.equal(undefined);
    rmSync(folders[0] ?? "", { recursive: true });
    expect(read(folders[0] ?? "")).to.equal(undefined);
  });
});
