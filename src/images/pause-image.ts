import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { invalidArgument } from "../errors.ts";

export type PauseArchitecture = "amd64" | "arm64";

export interface PauseImageInput {
  /** The static program, as built by deploy/pause for the architecture. */
  readonly binary: Uint8Array;
  readonly architecture: PauseArchitecture;
  /** The name that the image gets on the engine, with a tag: "registry/path:tag". */
  readonly reference: string;
}

/** Fixed, so that the same program gives the same image id on every node. */
const epoch = "1970-01-01T00:00:00Z";
/** Without privileges: nobody needs to be root to sleep. */
const user = "65535:65535";

/** e_machine of an ELF file (little endian, offset 18). */
const elfMachine: Record<PauseArchitecture, number> = { amd64: 62, arm64: 183 };

/**
 * A pause image as the body of POST /images/load. It is an OCI layout and a `docker save` archive at
 * once: engines to 24 read manifest.json, the containerd store reads index.json and keeps the digest.
 *
 * Throws InvalidArgument when the reference has no tag or the binary is not for the architecture:
 * the engine would load either, and every pod would fail later with "exec format error".
 */
export function pauseImageArchive(input: PauseImageInput): Readable {
  const tag = /:([\w][\w.-]{0,127})$/.exec(input.reference)?.[1];
  if (tag === undefined || input.reference.includes("@"))
    throw invalidArgument(`pause image reference "${input.reference}" needs a tag and no digest`);
  const { binary, architecture } = input;
  const machine =
    binary.length > 64 && binary[0] === 0x7f && binary[1] === 0x45
      ? (binary[18] ?? 0) + 256 * (binary[19] ?? 0)
      : 0;
  if (machine !== elfMachine[architecture])
    throw invalidArgument(`pause program is not an ELF file for ${architecture}`);
  return Readable.from(archive(input, tag), { objectMode: false });
}

async function* archive(input: PauseImageInput, tag: string): AsyncGenerator<Buffer> {
  const { architecture, reference } = input;
  const layer = await tar([{ name: "pause", mode: 0o555, bytes: Buffer.from(input.binary) }]);
  const config = json({
    architecture,
    config: { Entrypoint: ["/pause"], User: user, WorkingDir: "/" },
    created: epoch,
    history: [{ created: epoch, created_by: "dockline: the pause program" }],
    os: "linux",
    rootfs: { type: "layers", diff_ids: [digest(layer)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const index = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
        platform: { architecture, os: "linux" },
        annotations: {
          "io.containerd.image.name": fullReference(reference),
          "org.opencontainers.image.ref.name": tag,
        },
      },
    ],
  });
  const legacy = json([
    { Config: blobPath(config), RepoTags: [reference], Layers: [blobPath(layer)] },
  ]);
  yield await tar([
    ...[config, layer, manifest].map((bytes) => ({ name: blobPath(bytes), mode: 0o644, bytes })),
    { name: "index.json", mode: 0o644, bytes: index },
    { name: "manifest.json", mode: 0o644, bytes: legacy },
    { name: "oci-layout", mode: 0o644, bytes: json({ imageLayoutVersion: "1.0.0" }) },
  ]);
}

/** containerd keeps names in full, where Docker's short ones imply docker.io and its library. */
function fullReference(reference: string): string {
  const slash = reference.indexOf("/");
  if (slash < 0) return `docker.io/library/${reference}`;
  const first = reference.slice(0, slash);
  return /[.:]/.test(first) || first === "localhost" ? reference : `docker.io/${reference}`;
}

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly bytes: Buffer;
}

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const packed = pack();
  for (const { name, mode, bytes } of entries)
    packed.entry({ name, mode, uid: 0, gid: 0, mtime: new Date(0) }, bytes);
  packed.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packed) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const hex = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const digest = (bytes: Buffer): string => `sha256:${hex(bytes)}`;
const blobPath = (bytes: Buffer): string => `blobs/sha256/${hex(bytes)}`;
const descriptor = (mediaType: string, bytes: Buffer) => ({
  mediaType,
  digest: digest(bytes),
  size: bytes.length,
});
