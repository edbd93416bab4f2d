import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import type { Header } from "tar-stream";

export type TarFile = Partial<Header> & { name: string; content?: string | Uint8Array };

/** A tar of these entries, whatever they are: hostile ones included. */
export async function tarOf(files: readonly TarFile[]): Promise<Buffer> {
  const packed = pack();
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  for (const { content, ...header } of files) {
    const whole = { uid, gid, mtime: new Date(1_600_000_000_000), ...header };
    if (header.type === undefined || header.type === "file") {
      packed.entry(whole, Buffer.from(content ?? ""));
    } else packed.entry(whole);
  }
  packed.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packed) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** One header block of any bytes, with a right checksum: for what the packer would not write. */
export function rawHeader(
  name: string,
  type: string,
  fields: { size?: string; mode?: string; linkname?: string } = {},
): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100, "latin1");
  block.write(`${fields.mode ?? "0000644"}\0`, 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${fields.size ?? "00000000000"}\0`, 124);
  block.write("00000000000\0", 136);
  block.write(type, 156);
  block.write(fields.linkname ?? "", 157, 100, "latin1");
  block.write("ustar\0" + "00", 257);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** An archive as `GET /images/{id}/get` sends it, of layers from the lowest to the uppermost. */
export async function savedImage(
  layers: readonly Buffer[],
  form: "legacy" | "oci" = "legacy",
): Promise<Buffer> {
  const digests = layers.map((layer) => createHash("sha256").update(layer).digest("hex"));
  const nameOf = (digest: string): string =>
    form === "oci" ? `blobs/sha256/${digest}` : `${digest}/layer.tar`;
  const config = Buffer.from("{}");
  const files = digests.map((digest, at) => ({ name: nameOf(digest), content: layers[at] ?? "" }));
  const unique = files.filter(({ name }, at) => files.findIndex((f) => f.name === name) === at);
  const manifest = JSON.stringify([
    { Config: nameOf("c".repeat(64)), RepoTags: null, Layers: digests.map(nameOf) },
  ]);
  return await tarOf([
    // By name, as engines write them: not in the order of the layers.
    ...unique.sort((a, b) => (a.name < b.name ? -1 : 1)),
    ...(form === "oci" ? [{ name: `blobs/sha256/${"c".repeat(64)}`, content: config }] : []),
    { name: "manifest.json", content: manifest },
  ]);
}

export const streamOf = (bytes: Uint8Array): Readable =>
  Readable.from([Buffer.from(bytes)], { objectMode: false });
