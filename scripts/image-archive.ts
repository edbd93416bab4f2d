import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pack } from "tar-stream";

type Header = Parameters<ReturnType<typeof pack>["entry"]>[0];

/** One entry of an image's only layer. */
export interface ImageFile {
  path: string;
  content?: string | Uint8Array;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Path of another entry that this one is a hard link to. */
  hardLinkTo?: string;
  symlinkTo?: string;
  directory?: boolean;
}

export interface ImageSpec {
  references: string[];
  files: ImageFile[];
  /** Docker's image config: Cmd, Env, User, Labels, Volumes, … */
  config?: Record<string, unknown>;
  /** Makes the layer, and so the image, another one without changing what is in it. */
  salt?: string;
}

/** An image's configuration file and its only layer, uncompressed. */
export async function imageParts(spec: ImageSpec): Promise<{ config: Buffer; layer: Buffer }> {
  const layer = await tar(
    spec.files.map((file) => ({ header: headerOf(file), body: file.content ?? "" })),
  );
  const created = "2020-01-01T00:00:00Z";
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      created,
      config: spec.config ?? {},
      rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
      history: [{ created, created_by: `dockline ${spec.salt ?? ""}` }],
    }),
  );
  return { config, layer };
}

/** A one-layer image as the body of POST /images/load, built in memory. */
export async function imageArchive(spec: ImageSpec): Promise<Readable> {
  const { config, layer } = await imageParts(spec);
  const configName = `${sha256(config)}.json`;
  const manifest = JSON.stringify([
    { Config: configName, RepoTags: spec.references, Layers: ["layer.tar"] },
  ]);
  const archive = await tar([
    { header: { name: configName, mode: 0o644 }, body: config },
    { header: { name: "layer.tar", mode: 0o644 }, body: layer },
    { header: { name: "manifest.json", mode: 0o644 }, body: manifest },
  ]);
  return Readable.from([archive], { objectMode: false });
}

/**
 * The machine's static busybox as an image's files. The applets are hard links: masking or replacing
 * one of them leaves the shell alone.
 */
export function busyboxFiles(): ImageFile[] {
  const path = ["/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox"].find(existsSync);
  if (path === undefined) throw new Error("no busybox on this machine: install busybox-static");
  const applets = execFileSync(path, ["--list"], { encoding: "utf8" })
    .split("\n")
    .filter((applet) => applet !== "" && applet !== "busybox");
  const folders = ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "var", "home"];
  return [
    ...folders.map((name) => ({
      path: name,
      directory: true,
      mode: name === "tmp" ? 0o1777 : 0o755,
    })),
    { path: "bin/busybox", content: readFileSync(path), mode: 0o755 },
    ...applets.map((applet) => ({ path: `bin/${applet}`, hardLinkTo: "bin/busybox" })),
    {
      path: "etc/passwd",
      content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    },
    { path: "etc/group", content: "root:x:0:\nnogroup:x:65534:\n" },
  ];
}

function headerOf(file: ImageFile): Header {
  const base = { name: file.path, uid: file.uid ?? 0, gid: file.gid ?? 0, mtime: new Date(0) };
  if (file.directory === true) {
    return { ...base, name: `${file.path}/`, type: "directory", mode: file.mode ?? 0o755 };
  }
  if (file.hardLinkTo !== undefined) {
    // A link entry carries the mode of the file that it names.
    return { ...base, type: "link", linkname: file.hardLinkTo, mode: file.mode ?? 0o755 };
  }
  if (file.symlinkTo !== undefined) return { ...base, type: "symlink", linkname: file.symlinkTo };
  return { ...base, mode: file.mode ?? 0o644 };
}

async function tar(entries: { header: Header; body: string | Uint8Array }[]): Promise<Buffer> {
  const packed = pack();
  for (const { header, body } of entries) {
    const linked = header.type === "link" || header.type === "symlink";
    if (linked || header.type === "directory") packed.entry(header);
    else packed.entry(header, Buffer.from(body));
  }
  packed.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packed) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
