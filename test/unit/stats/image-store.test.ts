import { rmSync } from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { createImageFs } from "../../../src/stats/image-fs.ts";
import { GraphLayerBytes, imageStoreFolder } from "../../../src/stats/image-store.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeTree } from "./trees.ts";

const layerdb = "docker/image/overlay2/layerdb/sha256";
const layerSize = (layer: string): string => `${layerdb}/${layer}/size`;

describe("where images lie and how large they are", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(() => {
    folder.remove();
  });
  const facts = (containerdStore: boolean, containerdAddress = "") => ({
    dockerRootDir: folder.path("docker"),
    driver: "overlay2",
    containerdStore,
    containerdAddress,
  });

  it("is the engine's own folder with a graph driver", () => {
    expect(imageStoreFolder(facts(false))).to.equal(folder.path("docker"));
  });

  it("is containerd's root with its store, told by a mount of this engine and no other", () => {
    const mount = (point: string, root: string): string =>
      `600 500 0:50 / ${point} rw - overlay overlay rw,lowerdir=/l,upperdir=${root}/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs,workdir=/w`;
    writeTree(folder.path, {
      "proc/self/mountinfo": [
        mount("/run/k3s/containerd/task/rootfs", "/var/lib/rancher/containerd"),
        mount(`${folder.path("docker")}/rootfs/overlayfs/abc`, "/data/containerd"),
        "",
      ].join("\n"),
    });
    expect(imageStoreFolder(facts(true), folder.path("proc"))).to.equal("/data/containerd");
  });

  it("is the root of the containerd that serves the engine, by its command line", () => {
    const config = (name: string, root: string, address: string): Record<string, string> => ({
      [name]: `version = 2\nroot = "${root}"\nstate = "/s"\n[grpc]\n  address = "${address}"\n[other]\n  root = "/no"\n`,
    });
    writeTree(folder.path, {
      "proc/self/mountinfo": "",
      "proc/7/comm": "containerd-shim\n",
      "proc/7/cmdline": "containerd-shim\0--root\0/no\0",
      "proc/8/comm": "containerd\n",
      "proc/8/cmdline": `containerd\0--config\0${folder.path("other.toml")}\0`,
      "proc/9/comm": "containerd\n",
      "proc/9/cmdline": `/usr/bin/containerd\0--config=${folder.path("ours.toml")}\0`,
      ...config("other.toml", "/other", "/run/other.sock"),
      ...config("ours.toml", "/ours", folder.path("c.sock")),
    });
    expect(imageStoreFolder(facts(true, folder.path("c.sock")), folder.path("proc"))).to.equal(
      "/ours",
    );
    expect(imageStoreFolder(facts(true, "/nobody"), folder.path("proc"))).to.equal(
      "/var/lib/containerd",
    );
  });

  it("counts each layer of a graph driver once, and forgets removed ones", async () => {
    writeTree(folder.path, {
      [layerSize("aaa")]: "100",
      [layerSize("bbb")]: "9007199254740993",
      [`${layerdb}/half-written/diff`]: "",
    });
    const bytes = new GraphLayerBytes();
    expect(await bytes.read(facts(false))).to.equal(9_007_199_254_741_093n);
    rmSync(folder.path(`${layerdb}/bbb`), { recursive: true });
    expect(await bytes.read(facts(false))).to.equal(100n);
    expect(await bytes.read({ ...facts(false), driver: "btrfs" })).to.equal(undefined);
  });

  it("counts thousands of layers while other work goes on", async () => {
    const layers = Array.from({ length: 5000 }, (_, at) => [layerSize(String(at)), "10"] as const);
    writeTree(folder.path, Object.fromEntries(layers));
    let turns = 0;
    const turn = setInterval(() => (turns += 1), 0);
    const sum = await new GraphLayerBytes().read(facts(false));
    clearInterval(turn);
    expect(sum).to.equal(50_000n);
    expect(turns).to.be.above(2);
  });

  const imageFs = (layersBytes: () => Promise<number>) =>
    createImageFs({
      store: () => facts(false),
      layersBytes,
      writableLayers: () => ({ usedBytes: 0n, inodesUsed: 0n }),
      revision: () => 1,
      clock: systemClock,
      log: silentLogger,
    });
  const used = async (fs: ReturnType<typeof imageFs>): Promise<bigint | undefined> =>
    (await fs.imageFsInfo()).imageFilesystems[0]?.usedBytes.value;

  it("are the same for all that ask while the layers are being counted", async () => {
    writeTree(folder.path, { [layerSize("aaa")]: "123" });
    const fs = imageFs(() => Promise.reject(new Error("not asked")));
    expect(await Promise.all([used(fs), used(fs), used(fs)])).to.deep.equal([123n, 123n, 123n]);
  });

  it("keep nobody waiting for an engine that has to be asked", async () => {
    let answer: (bytes: number) => void = () => undefined;
    let asked = 0;
    const fs = imageFs(() => {
      asked += 1;
      return new Promise((resolve) => (answer = resolve));
    });
    expect(await used(fs)).to.not.equal(77n);
    expect(await used(fs)).to.not.equal(77n);
    expect(asked).to.equal(1);
    answer(77);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await used(fs)).to.equal(77n);
  });
});
