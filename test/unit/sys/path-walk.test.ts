import {
  mkdtempSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { kernelWords } from "../../../src/sys/errno-words.ts";
import { MountTable } from "../../../src/sys/mount-table.ts";
import { ownPathCalls, type PathCalls } from "../../../src/sys/path-calls.ts";
import { AbsentPath, DanglingLink, PathWalk } from "../../../src/sys/path-walk.ts";

describe("sys/path-walk", () => {
  let root: string;
  const at = (...names: string[]): string => join(root, ...names);
  const walk = async (
    change: Partial<ConstructorParameters<typeof PathWalk>[0]> = {},
  ): Promise<PathWalk> =>
    new PathWalk({
      mounts: new MountTable(await readFile("/proc/self/mountinfo", "utf8")),
      own: ownPathCalls,
      remote: () => {
        throw new Error("nothing here may hang");
      },
      mayMake: () => true,
      ...change,
    });
  const resolve = async (path: string): Promise<string> => (await walk()).resolve(path);
  const failure = async (work: Promise<unknown>): Promise<Error> => {
    const error: unknown = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error instanceof Error) return error;
    throw new Error("no failure");
  };

  before(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-walk-"));
    mkdirSync(at("real/in"), { recursive: true });
    writeFileSync(at("file"), "");
    symlinkSync("real", at("relative"));
    symlinkSync(at("real"), at("absolute"));
    symlinkSync("relative/in/..", at("chain"));
    symlinkSync("nothing", at("dangling"));
    symlinkSync("real/nothing", at("half"));
    symlinkSync("loop", at("loop"));
    symlinkSync("dangling", at("to-dangling"));
    symlinkSync("../../../../../../proc/self/mounts", at("mtab"));
    symlinkSync("/proc", at("to-proc"));
  });
  after(() => rmSync(root, { recursive: true }));

  for (const [path, expected] of [
    ["real/in", "real/in"],
    ["file", "file"],
    ["./real//in/", "real/in"],
    ["relative/in", "real/in"],
    ["absolute/../file", "file"],
    ["chain/in", "real/in"],
    ["relative/new/deep", "real/new/deep"],
  ] as const) {
    it(`resolves ${path}`, async () => {
      expect(await resolve(`${root}/${path}`)).to.equal(at(expected));
    });
  }

  it("resolves the root, however it is written", async () => {
    for (const path of ["/", "//", "/..", "/./"]) expect(await resolve(path)).to.equal("/");
  });

  it("makes what is missing with mode 0755, whatever the umask is", async () => {
    const before = process.umask(0o077);
    try {
      expect(await resolve(at("made/a/b"))).to.equal(at("made/a/b"));
    } finally {
      process.umask(before);
    }
    for (const path of ["made", "made/a", "made/a/b"])
      expect(statSync(at(path)).mode & 0o7777).to.equal(0o755);
  });

  it("makes one folder for many at once", async () => {
    const walks = await Promise.all(Array.from({ length: 20 }, () => walk()));
    const paths = await Promise.all(
      walks.flatMap((one) => [one.resolve(at("once/x")), one.resolve(at("once/y"))]),
    );
    expect(new Set(paths)).to.deep.equal(new Set([at("once/x"), at("once/y")]));
    expect(readdirSync(at("once")).sort()).to.deep.equal(["x", "y"]);
  });

  it("goes through no dangling link, also not through a chain of them", async () => {
    for (const path of ["dangling", "dangling/x", "half", "half/x", "to-dangling"]) {
      const error = await failure(resolve(at(path)));
      expect(error, path).to.be.instanceOf(DanglingLink);
      expect(error.message).to.match(/ is a link to ".*", which does not exist$/);
    }
    expect(readdirSync(root)).to.not.include("nothing");
    expect(readdirSync(at("real"))).to.not.include("nothing");
  });

  for (const [what, path, words] of [
    ["a file in the middle", "file/x", "ENOTDIR: not a directory"],
    ["a file with a slash", "file/", "ENOTDIR: not a directory"],
    ["a loop", "loop", "ELOOP: too many levels of symbolic links"],
    ["a long name", "x".repeat(256), "ENAMETOOLONG: file name too long"],
  ] as const) {
    it(`fails for ${what} in the kernel's words`, async () => {
      const error = await failure(resolve(`${root}/${path}`));
      expect(kernelWords(error)).to.equal(words);
    });
  }

  it("makes no folder that must not be made, nor one above it", async () => {
    const error = await failure(
      (await walk({ mayMake: (folder) => folder !== at("strict") })).resolve(at("strict/x")),
    );
    expect(error).to.be.instanceOf(AbsentPath);
    expect(readdirSync(root)).to.not.include("strict");
  });

  it("leaves what is in /proc as it is, also behind links", async () => {
    for (const [path, expected] of [
      ["/proc", "/proc"],
      ["/proc/1/ns/net", "/proc/1/ns/net"],
      ["/proc/self/../1/ns/mnt", "/proc/self/../1/ns/mnt"],
      ["/proc/mounts", "/proc/mounts"],
      ["/proc/self/fd/0", "/proc/self/fd/0"],
      ["/proc/thread-self/ns/net", "/proc/thread-self/ns/net"],
      ["/dev/fd/1", "/proc/self/fd/1"],
      ["/dev/stdin", "/proc/self/fd/0"],
      [at("mtab"), "/proc/self/mounts"],
      [at("to-proc/uptime"), "/proc/uptime"],
      ["/proc/../etc/hostname", "/etc/hostname"],
      ["/proc/not-there", "/proc/not-there"],
    ] as const)
      expect(await resolve(path), path).to.equal(expected);
  });

  it("makes what is missing behind another process's root in a helper", async () => {
    const asked: string[] = [];
    const remote = (key: string): PathCalls => ({
      ...ownPathCalls,
      makeFolders: async (path) => {
        asked.push(key);
        await ownPathCalls.makeFolders(path);
      },
    });
    const path = `/proc/${process.pid}/root${at("by-root")}`;
    expect(await (await walk({ remote })).resolve(path)).to.equal(path);
    expect(asked).to.deep.equal([`/proc/${process.pid}/root`]);
    expect(statSync(at("by-root")).isDirectory()).to.equal(true);
  });

  it("takes the root of /proc/self for the node's, as it is for every process there", async () => {
    for (const [name, path] of [
      ["self", at("by-self/deep")],
      ["thread-self", at("by-thread")],
    ] as const) {
      const asked = `/proc/${name}/root${path}`;
      expect(await (await walk({ remote: () => ownPathCalls })).resolve(asked)).to.equal(asked);
      expect(statSync(path).isDirectory(), path).to.equal(true);
    }
  });

  it("makes nothing behind another process's root that must not be made", async () => {
    const strict = { remote: () => ownPathCalls, mayMake: () => false };
    const asked = `/proc/${process.pid}/root${at("not-by-root")}`;
    expect(await failure((await walk(strict)).resolve(asked))).to.be.instanceOf(AbsentPath);
    expect(readdirSync(root)).to.not.include("not-by-root");
    const there = `/proc/${process.pid}/root${at("real")}`;
    expect(await (await walk(strict)).resolve(there)).to.equal(there);
  });

  it("touches each file system by its own calls, and a hidden mount point not at all", async () => {
    const mounts = new MountTable(
      [
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 1 0:2 / /nfs rw - nfs4 server:/ rw",
        "3 2 0:3 / /nfs/local rw - tmpfs none rw",
        "4 1 0:4 / /a rw - tmpfs none rw",
        "5 4 0:5 / /a/hidden rw - nfs4 server:/ rw",
        "6 4 0:6 / /a rw - tmpfs none rw",
        "7 1 0:7 / /with\\040blank rw - fuse.sshfs x rw",
        "8 1 0:8 / /proc rw - proc proc rw",
      ].join("\n"),
    );
    const calls: string[] = [];
    const recording = (name: string): PathCalls => ({
      look: (path) => {
        calls.push(`${name} ${path}`);
        return Promise.resolve(path === "/nfs/link" ? { link: "/proc/self/ns/net" } : "folder");
      },
      makeFolder: () => Promise.resolve(),
      makeFolders: () => Promise.resolve(),
    });
    const one = await walk({ mounts, own: recording("own"), remote: recording });
    await one.resolve("/nfs/x/../local/y");
    await one.resolve("/a/hidden/z");
    await one.resolve("/with blank/z");
    expect(await one.resolve("/nfs/link")).to.equal("/proc/self/ns/net");
    expect(calls).to.deep.equal([
      "/nfs /nfs",
      "/nfs /nfs/x",
      "own /nfs/local",
      "own /nfs/local/y",
      "own /a",
      "own /a/hidden",
      "own /a/hidden/z",
      "/with blank /with blank",
      "/with blank /with blank/z",
      "/nfs /nfs/link",
      "own /proc",
    ]);
  });
});
