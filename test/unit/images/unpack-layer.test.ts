import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import { UnpackBudget, UnusableImage } from "../../../src/images/layer-entry.ts";
import { unpackLayer } from "../../../src/images/unpack-layer.ts";
import { rawHeader, streamOf, tarOf } from "../../support/saved-image.ts";
import type { TarFile } from "../../support/saved-image.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("unpacking a layer", () => {
  let folder: ReturnType<typeof tempFolder>;
  let outside: string;
  let root: string;

  beforeEach(() => {
    folder = tempFolder();
    outside = folder.path("outside");
    root = folder.path("layer");
    mkdirSync(outside);
    mkdirSync(root);
    writeFileSync(folder.path("outside/victim"), "untouched");
  });
  afterEach(() => {
    folder.remove();
  });

  const plenty = (): UnpackBudget => new UnpackBudget({ bytes: 1 << 20, entries: 1000 });
  const unpack = (tar: Uint8Array, budget = plenty()) => unpackLayer(streamOf(tar), root, budget);
  /** Everything beside the layer's folder is as it was. */
  const expectNothingOutside = (): void => {
    expect(readdirSync(folder.path("."))).to.have.members(["layer", "outside"]);
    expect(readdirSync(outside)).to.deep.equal(["victim"]);
    expect(readFileSync(folder.path("outside/victim"), "utf8")).to.equal("untouched");
  };
  const expectRefusal = async (tar: Uint8Array, message: RegExp, budget = plenty()) => {
    let thrown: unknown;
    try {
      await unpack(tar, budget);
    } catch (error) {
      thrown = error;
    }
    expect(thrown, "it was unpacked").to.be.instanceOf(Error);
    expect((thrown as Error).message).to.match(message);
    expectNothingOutside();
    return thrown;
  };

  it("writes files, folders and links as they are, set-uid bits and times included", async () => {
    const tar = await tarOf([
      { name: "./", type: "directory", mode: 0o711 },
      { name: "./etc/", type: "directory", mode: 0o750 },
      { name: "etc/file", content: "text", mode: 0o4755 },
      { name: "etc/again", type: "link", linkname: "etc/file", mode: 0o4755 },
      { name: "etc/absolute", type: "symlink", linkname: "/etc/shadow" },
      { name: "etc/up", type: "symlink", linkname: "../../../outside/victim" },
      { name: "deep/down/here", content: "x".repeat(5000) },
      { name: `${"long/".repeat(40)}é`, content: "long" },
    ]);
    const { described } = await unpack(tar);
    const file = lstatSync(`${root}/etc/file`);
    expect(file.mode & 0o7777).to.equal(0o4755);
    expect(file.mtimeMs).to.equal(1_600_000_000_000);
    expect(lstatSync(`${root}/etc/again`).ino).to.equal(file.ino);
    expect(readlinkSync(`${root}/etc/absolute`)).to.equal("/etc/shadow");
    expect(readlinkSync(`${root}/etc/up`)).to.equal("../../../outside/victim");
    expect(lstatSync(`${root}/etc`).mode & 0o7777).to.equal(0o750);
    expect(lstatSync(`${root}/etc`).mtimeMs).to.equal(1_600_000_000_000);
    expect(lstatSync(root).mode & 0o7777).to.equal(0o711);
    expect(readFileSync(`${root}/deep/down/here`, "utf8")).to.have.length(5000);
    expect(readFileSync(`${root}/${"long/".repeat(40)}é`, "utf8")).to.equal("long");
    expect([...described]).to.have.members(["", "etc"]);
    expectNothingOutside();
  });

  it("lets the last of two entries of one name stand", async () => {
    await unpack(
      await tarOf([
        { name: "a", content: "first" },
        { name: "a", content: "second" },
        { name: "b/", type: "directory" },
        { name: "b/in", content: "" },
        { name: "b", content: "no folder any more" },
        { name: "c", type: "symlink", linkname: "/" },
        { name: "c/", type: "directory" },
        { name: "c/in", content: "in the new folder" },
      ]),
    );
    expect(readFileSync(`${root}/a`, "utf8")).to.equal("second");
    expect(readFileSync(`${root}/b`, "utf8")).to.equal("no folder any more");
    expect(lstatSync(`${root}/c`).isDirectory()).to.equal(true);
    expectNothingOutside();
  });

  it("takes owners from pax records, counts attributes, keeps whiteouts for the merge", async () => {
    const own = String(process.getuid?.() ?? 0);
    const { withoutAttributes } = await unpack(
      await tarOf([
        { name: "a", content: "", uid: 1, pax: { uid: own, mtime: "1500000000.5" } },
        { name: "ping", content: "", pax: { "SCHILY.xattr.security.capability": "x" } },
        { name: "d/.wh.gone", content: "" },
        { name: "d/.wh..wh..opq", content: "" },
        { name: ".wh..wh.plnk/12.34", content: "" },
        { name: ".wh..wh.aufs", content: "" },
      ]),
    );
    expect(lstatSync(`${root}/a`).uid).to.equal(Number(own));
    expect(lstatSync(`${root}/a`).mtimeMs).to.equal(1_500_000_000_500);
    expect(withoutAttributes).to.equal(1);
    expect(readdirSync(`${root}/d`)).to.have.members([".wh.gone", ".wh..wh..opq"]);
    expect(readdirSync(root)).to.not.include(".wh..wh.aufs");
  });

  const victim = { content: "overwritten" };
  const hostile: Record<string, [TarFile[], RegExp]> = {
    "an absolute name": [[{ name: "/outside/victim", ...victim }], /absolute/],
    "two slashes in front": [[{ name: "//outside/victim", ...victim }], /absolute/],
    "a way up": [[{ name: "../outside/victim", ...victim }], /"\.\."/],
    "a way up in the middle": [[{ name: "a/../../outside/victim", ...victim }], /"\.\."/],
    "a way up behind ./": [[{ name: "./../outside/victim", ...victim }], /"\.\."/],
    "a folder above": [[{ name: "..", type: "directory", mode: 0o777 }], /"\.\."/],
    "a file through a symlink": [
      [
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "a/victim", ...victim },
      ],
      /goes through "a"/,
    ],
    "a file through an absolute symlink": [
      [
        { name: "a/b", type: "symlink", linkname: "/" },
        { name: "a/b/tmp/x", ...victim },
      ],
      /goes through "a\/b"/,
    ],
    "a folder through a symlink": [
      [
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "a/new/", type: "directory" },
      ],
      /goes through/,
    ],
    "a symlink through a symlink": [
      [
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "a/b", type: "symlink", linkname: "x" },
      ],
      /goes through/,
    ],
    "a symlink in the place of a folder that was used": [
      [
        { name: "a/x", content: "" },
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "a/victim", ...victim },
      ],
      /goes through "a"/,
    ],
    "a hard link to a file above": [
      [{ name: "a", type: "link", linkname: "../outside/victim" }],
      /"\.\."/,
    ],
    "a hard link to an absolute path": [
      [{ name: "a", type: "link", linkname: "/etc/passwd" }],
      /absolute/,
    ],
    "a hard link through a symlink": [
      [
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "b", type: "link", linkname: "a/victim" },
      ],
      /goes through "a"/,
    ],
    "a hard link to nothing": [[{ name: "a", type: "link", linkname: "b" }], /does not have/],
    "a hard link to a folder": [
      [
        { name: "a/", type: "directory" },
        { name: "b", type: "link", linkname: "a" },
      ],
      /to a folder/,
    ],
    "a hard link to itself": [
      [
        { name: "a", content: "" },
        { name: "a", type: "link", linkname: "./a" },
      ],
      /to itself/,
    ],
    "a character device": [
      [{ name: "null", type: "character-device", devmajor: 1, devminor: 3 }],
      /character-device/,
    ],
    "a block device": [[{ name: "sda", type: "block-device", devmajor: 8 }], /block-device/],
    "a named pipe": [[{ name: "pipe", type: "fifo" }], /fifo/],
    "a sparse file": [
      [{ name: "s", content: "", pax: { "GNU.sparse.major": "1", "GNU.sparse.name": "s" } }],
      /sparse/,
    ],
    "a name that is no UTF-8": [[{ name: "a\uFFFDb", content: "" }], /UTF-8/],
    "a name of 256 bytes": [[{ name: "n".repeat(256), content: "" }], /too long/],
    "a symlink without a text": [[{ name: "a", type: "symlink", linkname: "" }], /to nowhere/],
    "a file that is the root": [[{ name: "./", type: "symlink", linkname: "x" }], /root/],
    "a whiteout of the folder above": [[{ name: "a/.wh...", content: "" }], /removes nothing/],
    "a whiteout of the folder itself": [[{ name: "a/.wh..", content: "" }], /removes nothing/],
    "a whiteout through a symlink": [
      [
        { name: "a", type: "symlink", linkname: "../outside" },
        { name: "a/.wh.victim", content: "" },
      ],
      /goes through/,
    ],
    "an owner below zero": [[{ name: "a", content: "", pax: { uid: "-1" } }], /uid/],
    "an owner that means unchanged": [
      [{ name: "a", content: "", pax: { gid: "4294967295" } }],
      /gid/,
    ],
    "a time that is none": [[{ name: "a", content: "", pax: { mtime: "never" } }], /time/],
    "a name in a pax record": [
      [{ name: "harmless", content: "", pax: { path: "../outside/victim" } }],
      /"\.\."/,
    ],
    "a link in a pax record": [
      [{ name: "a", type: "link", linkname: "a", pax: { linkpath: "../outside/victim" } }],
      /"\.\."/,
    ],
  };
  for (const [what, [files, message]] of Object.entries(hostile)) {
    it(`refuses ${what}`, async () => {
      const thrown = await expectRefusal(await tarOf(files), message);
      expect(thrown).to.be.instanceOf(UnusableImage);
    });
  }

  it("refuses kinds of files that are not known, odd sizes and a broken archive", async () => {
    const end = Buffer.alloc(1024);
    for (const type of ["S", "V", "M", "D", "9"]) {
      await expectRefusal(Buffer.concat([rawHeader("a", type), end]), /unknown kind/);
    }
    await expectRefusal(
      Buffer.concat([rawHeader("a", "0", { size: "77777777777" }), end]),
      /unexpected end|more than its size|destroyed/i,
    );
    await expectRefusal(Buffer.concat([rawHeader("a", "0", { mode: "zzzzzzz" }), end]), /mode/);
    const whole = await tarOf([{ name: "a", content: "x".repeat(4000) }]);
    await expectRefusal(whole.subarray(0, 2000), /unexpected end|destroyed/i);
    await expectRefusal(Buffer.concat([Buffer.alloc(512, 1), end]), /invalid tar header/i);
  });

  it("refuses more bytes or files than there may be", async () => {
    const large = await tarOf([
      { name: "a", content: "x".repeat(600) },
      { name: "b", content: "x".repeat(600) },
    ]);
    await expectRefusal(large, /more than its size/, new UnpackBudget({ bytes: 1000, entries: 9 }));
    await expectRefusal(large, /too many files/, new UnpackBudget({ bytes: 9000, entries: 1 }));
  });

  it("refuses a hard link in place of the folder that its file is in", async () => {
    const entries = [
      { name: "a/b", content: "x" },
      { name: "a", type: "link" as const, linkname: "a/b" },
    ];
    await expectRefusal(await tarOf(entries), /in the folder that it replaces/);
  });

  it("touches nothing outside, whatever entries come in whatever order", async () => {
    const name = fc.constantFrom(
      "a",
      "a/b",
      "a/b/c",
      "b",
      "../outside/victim",
      "/x",
      "a/../..",
      "",
    );
    const target = fc.constantFrom("a", "..", "../outside", "../outside/victim", "/", "a/b", "b");
    const entry = fc.record({
      name,
      type: fc.constantFrom("file", "directory", "symlink", "link", "fifo"),
      linkname: target,
      content: fc.constant("overwritten"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 6 }), async (entries) => {
        const tar = await tarOf(entries);
        await unpack(tar).catch((error: unknown) => {
          if (!(error instanceof UnusableImage)) throw error;
        });
        expectNothingOutside();
      }),
      { numRuns: 150 },
    );
  });

  it("does not follow a link that stood in its folder before", async () => {
    symlinkSync(outside, `${root}/a`);
    await expectRefusal(await tarOf([{ name: "a/victim", ...victim }]), /goes through/);
  });
});
