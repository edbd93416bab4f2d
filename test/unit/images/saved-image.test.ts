import { lstatSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect } from "chai";
import { unpackSavedImage } from "../../../src/images/saved-image.ts";
import { UnpackBudget } from "../../../src/images/layer-entry.ts";
import { savedImage, streamOf, tarOf } from "../../support/saved-image.ts";
import type { TarFile } from "../../support/saved-image.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("an image's file system out of docker save", () => {
  let folder: ReturnType<typeof tempFolder>;
  let tree: string;
  beforeEach(() => {
    folder = tempFolder();
    tree = folder.path("tree");
    mkdirSync(tree);
    mkdirSync(folder.path("work"));
  });
  afterEach(() => {
    folder.remove();
  });

  const unpack = async (archive: Uint8Array): Promise<void> => {
    const budget = new UnpackBudget({ bytes: 1 << 20, entries: 1000 });
    await unpackSavedImage(streamOf(archive), folder.path("work"), tree, budget);
  };
  /** Layers from the lowest up, in each order of names that a digest may give them. */
  const layered = async (...layers: TarFile[][]): Promise<void> => {
    await unpack(await savedImage(await Promise.all(layers.map(tarOf))));
  };
  const files = (): string[] =>
    readdirSync(tree, { recursive: true, encoding: "utf8" })
      .filter((name) => !lstatSync(`${tree}/${name}`).isDirectory())
      .sort();
  const text = (name: string): string => readFileSync(`${tree}/${name}`, "utf8");
  const file = (name: string, content = name): TarFile => ({ name, content });
  const dir = (name: string, fields: Partial<TarFile> = {}): TarFile => ({
    name: `${name}/`,
    type: "directory",
    mode: 0o755,
    ...fields,
  });

  it("puts layers on each other: replaced, added, removed, hidden", async () => {
    await layered(
      [dir("a"), file("a/1", "low"), file("a/2"), dir("b"), file("b/x"), file("b/y"), file("gone")],
      [dir("a"), file("a/1", "high"), file("a/3"), dir("b"), file("b/.wh..wh..opq"), file("b/z")],
      [file(".wh.gone"), dir("a"), file("a/.wh.2")],
    );
    expect(files()).to.deep.equal(["a/1", "a/3", "b/z"]);
    expect(text("a/1")).to.equal("high");
  });

  it("changes what a name is: folder, file, link", async () => {
    await layered(
      [dir("d"), file("d/in"), file("f"), { name: "l", type: "symlink", linkname: "d" }],
      [file("d", "a file now"), dir("f"), file("f/in"), dir("l"), file("l/in")],
    );
    expect(files()).to.deep.equal(["d", "f/in", "l/in"]);
    expect(text("d")).to.equal("a file now");
  });

  it("does not put a layer's files where a lower layer's link leads", async () => {
    mkdirSync(folder.path("outside"));
    await layered(
      [{ name: "d", type: "symlink", linkname: folder.path("outside") }],
      [file("d/in"), dir("e"), { name: "e/l", type: "symlink", linkname: "../../outside" }],
      [file("e/l/.wh.x"), file("e/l/in")],
    );
    expect(readdirSync(folder.path("outside"))).to.deep.equal([]);
    expect(files()).to.deep.equal(["d/in", "e/l/in"]);
  });

  it("keeps hard links, modes and times over the merge", async () => {
    const at = new Date(1_400_000_000_000);
    await layered(
      [dir("a", { mode: 0o700, mtime: at }), file("a/1"), dir("b", { mode: 0o1777, mtime: at })],
      [
        { name: "a/s", content: "s", mode: 0o6755 },
        { name: "a/h", type: "link", linkname: "a/s", mode: 0o6755 },
        dir("b", { mode: 0o711 }),
      ],
    );
    expect(lstatSync(`${tree}/a/h`).ino).to.equal(lstatSync(`${tree}/a/s`).ino);
    expect(lstatSync(`${tree}/a/s`).mode & 0o7777).to.equal(0o6755);
    // The second layer only passes through a, but describes b.
    expect(lstatSync(`${tree}/a`).mode & 0o7777).to.equal(0o700);
    expect(lstatSync(`${tree}/a`).mtimeMs).to.equal(at.getTime());
    expect(lstatSync(`${tree}/b`).mode & 0o7777).to.equal(0o711);
  });

  it("takes a layer that stands there twice", async () => {
    const empty: TarFile[] = [];
    const again = [file("a"), file(".wh.b")];
    await layered(empty, again, [file("a", "between"), file("b")], empty, again);
    expect(files()).to.deep.equal(["a"]);
    expect(text("a")).to.equal("a");
  });

  it("reads blobs, packed ones and those that are no layers", async () => {
    const low = await tarOf([file("low")]);
    const high = await tarOf([file("high")]);
    await unpack(await savedImage([gzipSync(low), zstdCompressSync(high), low], "oci"));
    expect(files()).to.deep.equal(["high", "low"]);
  });

  it("follows an older engine's link from one layer to another", async () => {
    const [one, two] = ["1".repeat(64), "2".repeat(64)];
    const layers = [`${one}/layer.tar`, `${two}/layer.tar`];
    await unpack(
      await tarOf([
        { name: layers[0] ?? "", content: await tarOf([file("a")]) },
        { name: layers[1] ?? "", type: "symlink", linkname: `../${one}/layer.tar` },
        { name: "manifest.json", content: JSON.stringify([{ Layers: layers }]) },
      ]),
    );
    expect(files()).to.deep.equal(["a"]);
  });

  it("refuses an archive that is not whole", async () => {
    const whole = await savedImage([await tarOf([file("a")]), await tarOf([file("b")])]);
    const layer = `${"1".repeat(64)}/layer.tar`;
    const manifest = (value: unknown): TarFile => file("manifest.json", JSON.stringify(value));
    for (const [archive, message] of [
      [whole.subarray(0, 1000), /unexpected end|destroyed/i],
      [whole.subarray(0, whole.length - 2048), /not whole|unexpected end|destroyed/i],
      [await tarOf([manifest([{ Layers: [layer] }])]), /lacks the layer/],
      [await tarOf([manifest([{ Layers: ["../../etc/passwd"] }])]), /lacks the layer/],
      [await tarOf([manifest([{ Layers: [] }, { Layers: [] }])]), /one image/],
      [await tarOf([manifest(null)]), /one image/],
      [await tarOf([file("manifest.json", "{")]), /JSON/],
    ] as const) {
      let thrown: unknown;
      await unpack(archive).catch((error: unknown) => {
        thrown = error;
      });
      expect((thrown as Error | undefined)?.message).to.match(message);
    }
  });
});
