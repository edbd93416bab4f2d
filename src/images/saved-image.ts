import { mkdir, rm } from "node:fs/promises";
import { join, posix } from "node:path";
import { Readable } from "node:stream";
import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { failpoint } from "../sys/failpoint.ts";
import { mergeLayer } from "./merge-layer.ts";
import { drain, readTar } from "./read-tar.ts";
import type { TarEntry } from "./read-tar.ts";
import { UnusableImage } from "./layer-entry.ts";
import type { UnpackBudget } from "./layer-entry.ts";
import { unpackLayer } from "./unpack-layer.ts";
import type { UnpackedLayer } from "./unpack-layer.ts";

const MAX_MANIFEST_BYTES = 4 << 20;
const LAYER = /^(?:[0-9a-f]{64}\/layer\.tar|blobs\/sha256\/[0-9a-f]{64})$/;
const TAR_BLOCK = 512;

interface Stored extends UnpackedLayer {
  readonly folder: string;
}

/**
 * Makes an image's file system out of what `GET /images/{id}/get` sends. Only there the layers are
 * as the image has them: a container's export holds files that Docker puts into every container, in
 * the place of the image's own. The layers come in any order and the manifest last, so each is
 * unpacked where it stands in the stream and merged when the order is known: no byte is written
 * twice.
 *
 * Resolves with the number of files whose extended attributes were lost.
 *
 * @param work an empty folder for the layers
 * @param tree an empty folder that becomes the image's root
 * @throws UnusableImage for what the image holds, Error when the archive is not whole
 */
export async function unpackSavedImage(
  archive: Readable,
  work: string,
  tree: string,
  budget: UnpackBudget,
): Promise<number> {
  const layers = new Map<string, Stored>();
  /** Engines to 24 name a layer that they had saved already by a link to it. */
  const links = new Map<string, string>();
  let manifest: string | undefined;
  for await (const entry of readTar(archive)) {
    const { name, type, linkname, size } = entry.header;
    if (name === "manifest.json") {
      if (size > MAX_MANIFEST_BYTES) throw new UnusableImage("the manifest is too large");
      manifest = (await contentOf(entry)).toString("utf8");
    } else if (LAYER.test(name) && type === "symlink") {
      links.set(name, posix.join(posix.dirname(name), linkname));
    } else if (LAYER.test(name) && type === "file") {
      const content = await layerContent(entry);
      // A configuration or a manifest among the blobs.
      if (content === undefined) continue;
      const folder = join(work, String(layers.size));
      await mkdir(folder, { mode: 0o755 });
      layers.set(name, { folder, ...(await unpackLayer(content, folder, budget)) });
      failpoint("image-volume.after-layer");
    } else await drain(entry);
  }
  if (manifest === undefined) throw new Error("the engine's archive of the image is not whole");
  const names = layerNames(manifest).map((name) => links.get(name) ?? name);
  let lost = 0;
  for (const [index, name] of names.entries()) {
    // A layer that stands there twice leaves the same behind when only its last place counts.
    if (names.includes(name, index + 1)) continue;
    const layer = layers.get(name);
    if (layer === undefined) throw new Error(`the engine's archive lacks the layer ${name}`);
    await mergeLayer(layer.folder, layer.described, tree);
    lost += layer.withoutAttributes;
    await rm(layer.folder, { recursive: true, force: true });
  }
  return lost;
}

function layerNames(manifest: string): string[] {
  const images = JSON.parse(manifest) as { Layers?: unknown }[] | null;
  const names = images?.[0]?.Layers;
  if (images?.length !== 1 || !Array.isArray(names)) {
    throw new Error("the engine's archive does not hold one image");
  }
  return names.map(String);
}

/** A layer's tar, unpacked where the store keeps it packed; undefined for what is no layer. */
async function layerContent(entry: TarEntry): Promise<Readable | undefined> {
  const chunks = entry[Symbol.asyncIterator]();
  const head: Buffer[] = [];
  let length = 0;
  while (length < TAR_BLOCK) {
    const next = await chunks.next();
    if (next.done === true) break;
    head.push(next.value);
    length += next.value.length;
  }
  const first = Buffer.concat(head);
  const whole = Readable.from(
    (async function* () {
      yield first;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        yield next.value;
      }
    })(),
    { objectMode: false },
  );
  if (first.subarray(257, 262).toString("latin1") === "ustar" || isEmptyTar(first)) return whole;
  const magic = first.subarray(0, 4).toString("hex");
  if (magic.startsWith("1f8b")) return through(whole, createGunzip());
  if (magic === "28b52ffd") return through(whole, createZstdDecompress());
  await drain(whole);
  return undefined;
}

const isEmptyTar = (first: Buffer): boolean =>
  first.length >= TAR_BLOCK && first.every((byte) => byte === 0);

function through(source: Readable, unpacker: Transform): Readable {
  source.on("error", (error) => unpacker.destroy(error));
  unpacker.on("close", () => source.destroy());
  return source.pipe(unpacker);
}

async function contentOf(entry: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of entry) chunks.push(chunk);
  return Buffer.concat(chunks);
}
