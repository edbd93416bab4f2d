import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { extract } from "tar-stream";
import { pauseImageArchive, type PauseArchitecture } from "../../../src/images/pause-image.ts";

interface File {
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly mtime: number | undefined;
  readonly bytes: Buffer;
}

async function untar(archive: Buffer): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  const tar = extract();
  tar.end(archive);
  for await (const entry of tar) {
    const { name, mode, uid, mtime } = entry.header;
    files.set(name, { mode, uid, mtime: mtime.getTime(), bytes: await buffer(entry) });
  }
  return files;
}

const program = (architecture: PauseArchitecture): Promise<Buffer> =>
  readFile(new URL(`../../../deploy/pause/pause-${architecture}`, import.meta.url));
const load = async (architecture: PauseArchitecture, reference: string): Promise<Buffer> =>
  buffer(pauseImageArchive({ binary: await program(architecture), architecture, reference }));
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const parse = (file: File | undefined): unknown => JSON.parse(String(file?.bytes)) as unknown;

describe("pause image archive", () => {
  for (const architecture of ["amd64", "arm64"] as const)
    it(`holds the committed program for ${architecture} and says how to start it`, async () => {
      const files = await untar(await load(architecture, "dockline.io/pause:1"));
      const [entry] = parse(files.get("manifest.json")) as {
        Config: string;
        RepoTags: string[];
        Layers: string[];
      }[];
      expect(entry?.RepoTags).to.deep.equal(["dockline.io/pause:1"]);
      const config = parse(files.get(entry?.Config ?? "")) as {
        architecture: string;
        os: string;
        config: Record<string, unknown>;
        rootfs: { diff_ids: string[] };
      };
      expect(config.architecture).to.equal(architecture);
      expect(config.os).to.equal("linux");
      expect(config.config).to.deep.equal({
        Entrypoint: ["/pause"],
        User: "65535:65535",
        WorkingDir: "/",
      });
      const layer = files.get(entry?.Layers[0] ?? "");
      expect(config.rootfs.diff_ids).to.deep.equal([`sha256:${sha256(layer?.bytes as Buffer)}`]);
      const inside = await untar(layer?.bytes as Buffer);
      expect([...inside.keys()]).to.deep.equal(["pause"]);
      expect(inside.get("pause")).to.include({ mode: 0o555, uid: 0, mtime: 0 });
      expect(inside.get("pause")?.bytes.equals(await program(architecture))).to.equal(true);
    });

  it("names every blob by its digest, and the index leads to all of them", async () => {
    const files = await untar(await load("amd64", "dockline.io/pause:1"));
    const blobs = [...files].filter(([name]) => name.startsWith("blobs/sha256/"));
    expect(blobs).to.have.length(3);
    for (const [name, file] of blobs) expect(name).to.equal(`blobs/sha256/${sha256(file.bytes)}`);
    const blob = (of: { digest: string; size: number }): File | undefined => {
      const file = files.get(`blobs/sha256/${of.digest.replace("sha256:", "")}`);
      expect(file?.bytes.length).to.equal(of.size);
      return file;
    };
    interface Descriptor {
      digest: string;
      size: number;
      annotations: Record<string, string>;
    }
    const index = parse(files.get("index.json")) as { manifests: [Descriptor] };
    const manifest = parse(blob(index.manifests[0])) as {
      config: Descriptor;
      layers: [Descriptor];
    };
    blob(manifest.config);
    blob(manifest.layers[0]);
    expect(parse(files.get("oci-layout"))).to.deep.equal({ imageLayoutVersion: "1.0.0" });
  });

  it("is the same bytes each time", async () => {
    const [a, b] = [await load("arm64", "x.io/p:1"), await load("arm64", "x.io/p:1")];
    expect(a.equals(b)).to.equal(true);
  });

  for (const [reference, full] of [
    ["pause:3", "docker.io/library/pause:3"],
    ["me/pause:3", "docker.io/me/pause:3"],
    ["localhost/pause:3", "localhost/pause:3"],
    ["reg:5000/a/pause:v1.2-x", "reg:5000/a/pause:v1.2-x"],
  ] as const)
    it(`calls ${reference} ${full} for containerd`, async () => {
      const files = await untar(await load("amd64", reference));
      const index = parse(files.get("index.json")) as {
        manifests: { annotations: Record<string, string> }[];
      };
      expect(index.manifests[0]?.annotations["io.containerd.image.name"]).to.equal(full);
    });

  for (const reference of ["pause", "reg:5000/pause", `pause:1@sha256:${"0".repeat(64)}`, "pause:"])
    it(`refuses the reference ${reference.slice(0, 30)}`, async () => {
      const binary = await program("amd64");
      expect(() => pauseImageArchive({ binary, architecture: "amd64", reference })).to.throw(
        "needs a tag and no digest",
      );
    });

  it("refuses a program of another architecture, a text and a stump", async () => {
    const amd64 = await program("amd64");
    for (const binary of [amd64, Buffer.from("#!/bin/sh\n".repeat(20)), amd64.subarray(0, 20)])
      expect(() => pauseImageArchive({ binary, architecture: "arm64", reference: "p:1" })).to.throw(
        "not an ELF file for arm64",
      );
  });
});
