import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "chai";
import { pack } from "tar-stream";
import { usesContainerdStore } from "../../src/convert/pinned.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { until } from "../support/until.ts";

const mebibyte = 1 << 20;
const names = ["dockline.test/shared-a:1", "dockline.test/shared-b:1", "dockline.test/shared-c:1"];

/** Three images over one layer of 100 MiB, with 30 MiB of their own each: 190 MiB on disk, not 390. */
async function sharedImages(): Promise<Buffer> {
  const shared = await layer("shared", 100);
  const archive = pack();
  const add = (name: string, content: Buffer): void => void archive.entry({ name }, content);
  const sha = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
  const manifest: object[] = [];
  add(`${sha(shared)}.tar`, shared);
  for (const [at, name] of names.entries()) {
    const own = await layer(`own${at}`, 30);
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Cmd: ["none"] },
        rootfs: { type: "layers", diff_ids: [shared, own].map((each) => `sha256:${sha(each)}`) },
      }),
    );
    add(`${sha(own)}.tar`, own);
    add(`${sha(config)}.json`, config);
    manifest.push({
      Config: `${sha(config)}.json`,
      RepoTags: [name],
      Layers: [shared, own].map((each) => `${sha(each)}.tar`),
    });
  }
  add("manifest.json", Buffer.from(JSON.stringify(manifest)));
  archive.finalize();
  return await bytesOf(archive as unknown as Readable);
}

async function layer(name: string, mebibytes: number): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name }, randomBytes(mebibytes * mebibyte));
  tar.finalize();
  return await bytesOf(tar as unknown as Readable);
}

async function bytesOf(archive: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

const du = (folders: string[]): number =>
  folders.length === 0
    ? 0
    : execFileSync("du", ["-s", "--block-size=1", ...folders], { encoding: "utf8" })
        .trim()
        .split("\n")
        .reduce((sum, line) => sum + Number(line.split("\t")[0]), 0);

describe("ImageFsInfo", function () {
  this.timeout(120_000);
  let node: TestNode;
  before(async () => {
    node = await startNode();
  });
  after(async () => {
    for (const name of names) await node.docker.removeImage(name).catch(() => undefined);
    await node.close();
  });
  const imageBytes = async (): Promise<number> =>
    Number((await node.images.imageFsInfo({})).imageFilesystems[0]!.usedBytes!.value);

  it("counts a layer that images share once, as du does", async () => {
    const info = await node.docker.info();
    const containerd = usesContainerdStore(info);
    const { mountpoint } = (await node.images.imageFsInfo({})).imageFilesystems[0]!.fsId!;
    // What the store keeps images in, writable layers of containers left out by the difference.
    const folders = (): string[] =>
      containerd
        ? readdirSync(mountpoint)
            .filter((name) => /snapshotter|content/.test(name))
            .map((name) => join(mountpoint, name))
        : [join(info.DockerRootDir, info.Driver)];
    if (!containerd) expect(mountpoint).to.equal(info.DockerRootDir);
    const truthBefore = du(folders());
    await until(async () => (await imageBytes()) > 0);
    const before = await imageBytes();
    await node.docker.loadImage(Readable.from(await sharedImages()));
    const truth = du(folders()) - truthBefore;
    expect(truth).to.be.above(180 * mebibyte);
    const near = async (): Promise<boolean> =>
      Math.abs((await imageBytes()) - before - truth) <= truth * 0.05;
    await until(near, 40_000, `within 5 % of ${truth}`);
  });

  it("has bytes and inodes of writable layers, on the same file system", async () => {
    const { imageFilesystems, containerFilesystems } = await node.images.imageFsInfo({});
    expect(containerFilesystems).to.have.length(1);
    const [containers] = containerFilesystems;
    expect(containers?.fsId).to.deep.equal(imageFilesystems[0]?.fsId);
    expect(containers?.usedBytes).to.not.equal(undefined);
    expect(containers?.inodesUsed).to.not.equal(undefined);
    expect(imageFilesystems[0]!.inodesUsed!.value > 0n).to.equal(true);
  });
});
