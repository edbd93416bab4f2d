import { rmSync } from "node:fs";
import { expect } from "chai";
import { GraphLayerBytes, imageStoreFolder } from "../../../src/stats/image-store.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeTree } from "./trees.ts";

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

  it("counts each layer of a graph driver once, and forgets removed ones", () => {
    const layerdb = "docker/image/overlay2/layerdb/sha256";
    writeTree(folder.path, {
      [`${layerdb}/aaa/size`]: "100",
      [`${layerdb}/bbb/size`]: "9007199254740993",
      [`${layerdb}/half-written/diff`]: "",
    });
    const bytes = new GraphLayerBytes();
    expect(bytes.read(facts(false))).to.equal(9_007_199_254_741_093n);
    rmSync(folder.path(`${layerdb}/bbb`), { recursive: true });
    expect(bytes.read(facts(false))).to.equal(100n);
    expect(bytes.read({ ...facts(false), driver: "btrfs" })).to.equal(undefined);
  });
});
