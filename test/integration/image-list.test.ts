import { expect } from "chai";
import { status as GrpcCode } from "@grpc/grpc-js";
import { imageArchive } from "../../scripts/image-archive.ts";
import type { ImageSpec } from "../../scripts/image-archive.ts";
import type { Image } from "../../src/gen/runtime/v1/api_pb.js";
import { failure, removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
} from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";
import { ensureImage } from "../support/test-images.ts";

const own = "img.test";

describe("images of the node", () => {
  let node: TestNode;
  let registry: TestRegistry;
  let second: TestRegistry;
  let start: NodeState;
  let imagesAtStart: string[];

  before(async () => {
    [node, registry, second] = await Promise.all([
      startNode({
        withoutNetwork: true,
        args: ["--pinned-images=img.test/keep/*,img.test/exact:1"],
      }),
      startRegistry(),
      startRegistry(),
    ]);
    // What the first pod and the tests themselves bring to the engine stays there.
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
    await ensureImage(node.docker, "dockline.test/hostile:1");
  });
  after(async () => {
    await Promise.all([registry.close(), second.close()]);
    await node.close();
  });
  beforeEach(async () => {
    start = nodeState(node);
    imagesAtStart = await everything();
    node.proxy.reset();
  });
  afterEach(async () => {
    for (const host of [own, registry.host, second.host]) await removeImagesOf(node, host);
    expect(await everything()).to.deep.equal(imagesAtStart);
    await expectNothingLeft(node, start);
  });

  const everything = async (): Promise<string[]> =>
    (await node.docker.listImages())
      .flatMap(({ Id, RepoTags, RepoDigests }) => [Id, ...(RepoTags ?? []), ...(RepoDigests ?? [])])
      .sort();
  const load = async (references: string[], spec: Partial<ImageSpec> = {}): Promise<string> => {
    const files = [{ path: "f", content: references.join() }];
    await node.docker.loadImage(await imageArchive({ references, files, ...spec }));
    return (await node.docker.inspectImage(references[0] ?? "")).Id;
  };
  const statusOf = async (image: string): Promise<Image | undefined> =>
    (await node.images.imageStatus({ image: { image } })).image;
  const list = async (image = ""): Promise<Image[]> =>
    (await node.images.listImages(image === "" ? {} : { filter: { image: { image } } })).images;
  const remove = (image: string): Promise<object> => node.images.removeImage({ image: { image } });
  const pull = async (image: string): Promise<string> =>
    (await node.images.pullImage({ image: { image } })).imageRef;
  const files = [{ path: "x", content: "pushed" }];

  it("answers alike for id, hex, tag and digest", async () => {
    await registry.push("some/image", ["1"], { files });
    const id = await pull(`${registry.host}/some/image:1`);
    const byTag = await statusOf(`${registry.host}/some/image:1`);
    expect(byTag?.id).to.equal(id);
    expect(byTag?.size).to.satisfy((size: bigint) => size > 0n);
    for (const name of [
      id,
      id.slice("sha256:".length),
      id.slice("sha256:".length, 20),
      byTag?.repoDigests[0] ?? "",
      `${registry.host}/some/image:1@${byTag?.repoDigests[0]?.split("@")[1] ?? ""}`,
    ]) {
      expect(await statusOf(name), name).to.deep.equal(byTag);
      expect(await list(name), name).to.deep.equal([byTag]);
    }
    expect((await list()).filter((image) => image.id === id)).to.deep.equal([byTag]);
  });

  it("knows Docker Hub's short names by every form", async () => {
    const id = await load(["dockline-short:1"]);
    try {
      for (const name of [
        "dockline-short:1",
        "library/dockline-short:1",
        "docker.io/library/dockline-short:1",
        "index.docker.io/library/dockline-short:1",
      ]) {
        expect((await statusOf(name))?.id, name).to.equal(id);
      }
      expect((await statusOf(id))?.repoTags).to.deep.equal(["docker.io/library/dockline-short:1"]);
      expect(await statusOf("dockline-short")).to.equal(undefined);
    } finally {
      await remove("docker.io/library/dockline-short:1");
    }
  });

  it("says OK and nothing of an image that is not there", async () => {
    for (const image of [
      "img.test/none:1",
      `sha256:${"0".repeat(64)}`,
      "0".repeat(64),
      "abcdef",
      `img.test/none@sha256:${"0".repeat(64)}`,
    ]) {
      const answer = await node.images.imageStatus({ image: { image }, verbose: true });
      expect(answer.image, image).to.equal(undefined);
      expect(await list(image), image).to.deep.equal([]);
      await remove(image);
    }
    for (const image of ["", "a b", "x:y:z", "-", "../../etc/passwd", "a\nb"]) {
      const error = await failure(node.images.imageStatus({ image: { image } }));
      expect(error.code, image).to.equal(GrpcCode.INVALID_ARGUMENT);
    }
  });

  for (const [user, uid, username] of [
    ["1002", 1002n, ""],
    ["www-data", undefined, "www-data"],
    ["1003:users", 1003n, ""],
    ["www-data:100", undefined, "www-data"],
    ["", undefined, ""],
    ["4294967296", undefined, "4294967296"],
  ] as const) {
    it(`reports the user ${JSON.stringify(user)}`, async () => {
      await load([`${own}/user:1`], { config: { User: user } });
      const image = await statusOf(`${own}/user:1`);
      expect(image?.uid?.value).to.equal(uid);
      expect(image?.username).to.equal(username);
    });
  }

  it("lists three images, and three tags of one, sorted", async () => {
    const ids = await Promise.all([1, 2, 3].map((n) => load([`${own}/list-${n}:latest`])));
    const tags = [`${own}/tags:3`, `${own}/tags:1`, `${own}/tags:2`];
    const tagged = await load(tags);
    const listed = await list();
    expect(listed.map(({ id }) => id)).to.include.members([...ids, tagged]);
    expect(listed.find(({ id }) => id === tagged)?.repoTags).to.deep.equal([...tags].sort());
    expect(await list(`${own}/tags:2`)).to.deep.equal([await statusOf(tagged)]);
    const streamed: Image[] = [];
    for await (const part of node.images.streamImages({})) streamed.push(...part.images);
    expect(streamed).to.deep.equal(listed);
  });

  it("sees what others load, tag, untag and remove", async () => {
    const id = await load([`${own}/others:1`]);
    expect((await statusOf(`${own}/others:1`))?.id).to.equal(id);
    await node.docker.tagImage(id, `${own}/others`, "2");
    expect((await statusOf(`${own}/others:2`))?.id).to.equal(id);
    await node.docker.removeImage(`${own}/others:2`);
    await untilGone(`${own}/others:2`);
    await node.docker.removeImage(`${own}/others:1`);
    await untilGone(id);
  });

  async function untilGone(image: string): Promise<void> {
    for (let attempt = 0; (await statusOf(image)) !== undefined; attempt += 1) {
      if (attempt > 100) throw new Error(`${image} is still reported`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it("is there right after the pull and gone right after the removal, ten times", async () => {
    await registry.push("some/quick", ["1"], { files });
    const image = `${registry.host}/some/quick:1`;
    for (let round = 0; round < 10; round += 1) {
      const id = await pull(image);
      expect((await list()).map((found) => found.id)).to.include(id);
      expect((await statusOf(image))?.id).to.equal(id);
      await remove(image);
      expect(await statusOf(image)).to.equal(undefined);
      expect((await list()).map((found) => found.id)).to.not.include(id);
    }
  });

  describe("RemoveImage", () => {
    it("by one tag removes all", async () => {
      const id = await load([1, 2, 3].map((n) => `${own}/three:${n}`));
      await remove(`${own}/three:2`);
      expect(await statusOf(id)).to.equal(undefined);
      expect(await everything()).to.deep.equal(imagesAtStart);
    });

    it("by id removes the names in every registry", async () => {
      const pushed = await registry.push("some/both", ["1", "2"], { files });
      await second.push("other/both", ["x"], pushed);
      const id = await pull(`${registry.host}/some/both:1`);
      expect(await pull(`${second.host}/other/both:x`)).to.equal(id);
      expect(await pull(`${registry.host}/some/both:2`)).to.equal(id);
      expect((await statusOf(id))?.repoTags).to.have.length(3);
      expect((await statusOf(id))?.repoDigests).to.have.length(2);
      await remove(id);
      expect(await everything()).to.deep.equal(imagesAtStart);
    });

    it("removes what has only digests", async () => {
      const pushed = await registry.push("some/digest", ["1"], { files });
      await second.push("some/digest", ["1"], pushed);
      const id = await pull(`${registry.host}/some/digest@${pushed.manifestDigest}`);
      await pull(`${second.host}/some/digest@${pushed.manifestDigest}`);
      await remove(id);
      expect(await everything()).to.deep.equal(imagesAtStart);
    });

    it("removes what has no name at all", async () => {
      const id = await load([`${own}/dangling:1`]);
      await load([`${own}/dangling:1`], { salt: "another" });
      expect((await statusOf(id))?.repoTags).to.deep.equal([]);
      await remove(id.slice("sha256:".length));
      await remove(`${own}/dangling:1`);
      expect(await everything()).to.deep.equal(imagesAtStart);
    });

    it("five times at once: each sees it gone when it returns", async () => {
      const id = await load([`${own}/five:1`, `${own}/five:2`]);
      await Promise.all(
        Array.from({ length: 5 }, async () => {
          await remove(id);
          expect(await statusOf(id)).to.equal(undefined);
        }),
      );
    });

    it("refuses what a pod uses, and takes no name from it", async () => {
      const names = [`${own}/used:1`, `${own}/used:2`, `${own}/elsewhere:1`];
      const id = await load(names);
      const pod = await runPod(node, hostSandboxConfig(node));
      const config = containerConfig("true", { image: { image: id } });
      await createContainer(node, pod, config);
      for (const name of [id, ...names]) {
        const error = await failure(remove(name));
        expect(error.code, error.details).to.equal(GrpcCode.FAILED_PRECONDITION);
        expect((await statusOf(id))?.repoTags).to.deep.equal([...names].sort());
      }
      await removePod(node, pod);
      await remove(id);
      expect(await statusOf(id)).to.equal(undefined);
    });

    for (const names of [[`${own}/foreign:1`], [`${own}/foreign:1`, `${own}/foreign-2:1`]]) {
      it(`refuses what a container of others uses: ${names.length} name(s)`, async () => {
        const id = await load(names);
        const foreign = await node.docker.createContainer("img-test-foreign", {
          Image: id,
          Cmd: ["x"],
          Labels: {},
          HostConfig: { NetworkMode: "none" },
        });
        try {
          const error = await failure(remove(id));
          expect(error.code, error.details).to.equal(GrpcCode.FAILED_PRECONDITION);
          expect((await statusOf(id))?.repoTags).to.deep.equal([...names].sort());
        } finally {
          await node.docker.removeContainer(foreign.id);
        }
      });
    }
  });

  describe("pinned", () => {
    it("is what the operator names, never what an image says of itself or that it was loaded", async () => {
      await registry.push("some/pin", ["1"], { files });
      await registry.push("some/labelled", ["1"], {
        files,
        config: { Labels: { "io.dockline/pinned": "true" } },
      });
      await pull(`${registry.host}/some/pin:1`);
      await pull(`${registry.host}/some/labelled:1`);
      await load([`${own}/local:1`]);
      expect((await statusOf(`${registry.host}/some/pin:1`))?.pinned).to.equal(false);
      expect((await statusOf(`${registry.host}/some/labelled:1`))?.pinned).to.equal(false);
      expect((await statusOf(`${own}/local:1`))?.pinned).to.equal(false);
      const id = await pull(`${registry.host}/some/pin:1`);
      await node.docker.tagImage(id, `${own}/keep/that`, "v1");
      expect((await statusOf(id))?.pinned).to.equal(true);
      await node.docker.removeImage(`${own}/keep/that:v1`);
      await node.docker.tagImage(id, `${own}/exact`, "1");
      expect((await statusOf(`${own}/exact:1`))?.pinned).to.equal(true);
    });

    it("is with --pin-local-images what no registry has, also on a tag of another registry", async () => {
      const pinning = await startNode({ withoutNetwork: true, args: ["--pin-local-images"] });
      const pinned = async (image: string): Promise<boolean | undefined> =>
        (await pinning.images.imageStatus({ image: { image } })).image?.pinned;
      try {
        await registry.push("some/pulled", ["1"], { files });
        const id = await pull(`${registry.host}/some/pulled:1`);
        await node.docker.tagImage(id, `${own}/tagged`, "1");
        await load([`${own}/local:1`]);
        expect(await pinned(`${registry.host}/some/pulled:1`)).to.equal(false);
        expect(await pinned(`${own}/tagged:1`)).to.equal(false);
        expect(await pinned(`${own}/local:1`)).to.equal(true);
        // An image without a name is of no use to anybody.
        const dangling = await load([`${own}/dangling:1`]);
        await load([`${own}/dangling:1`], { salt: "another" });
        expect(await pinned(dangling)).to.equal(false);
        await remove(dangling);
      } finally {
        await pinning.close();
      }
    });

    it("is removed all the same when that is asked for", async () => {
      const id = await load([`${own}/local:1`]);
      await remove(id);
      expect(await statusOf(id)).to.equal(undefined);
    });
  });

  it("tells the image's configuration without its environment", async () => {
    await load([`${own}/verbose:1`], { config: { Env: ["TOKEN=canary-env"], Cmd: ["run"] } });
    const { info } = await node.images.imageStatus({
      image: { image: `${own}/verbose:1` },
      verbose: true,
    });
    expect(info["imageSpec"]).to.include('"run"').and.to.not.include("canary");
  });

  it("reports one id in pull, status, container and list", async () => {
    await registry.push("some/run", ["1"], { files, config: { Cmd: ["/x"] } });
    const id = await pull(`${registry.host}/some/run:1`);
    const pod = await runPod(node, hostSandboxConfig(node));
    const config = containerConfig("", { image: { image: id }, command: [], args: [] });
    const containerId = await createContainer(node, pod, config);
    const { status } = await node.runtime.containerStatus({ containerId });
    const [listed] = (await node.runtime.listContainers({ filter: { id: containerId } }))
      .containers;
    expect([status?.imageId, listed?.imageId]).to.deep.equal([id, id]);
    expect(status?.imageRef).to.match(new RegExp(`^${registry.host}/some/run@sha256:`));
    await removePod(node, pod);
  });

  it("reports the image file system", async () => {
    const { imageFilesystems, containerFilesystems } = await node.images.imageFsInfo({});
    for (const found of [...imageFilesystems, ...containerFilesystems]) {
      expect(found.fsId?.mountpoint).to.match(/^\//);
      expect(found.timestamp).to.satisfy((ns: bigint) => ns > 1_600_000_000_000_000_000n);
    }
    expect(imageFilesystems).to.have.length(1);
    expect(imageFilesystems[0]?.usedBytes?.value).to.satisfy((bytes: bigint) => bytes > 1_000_000n);
    expect(imageFilesystems[0]?.inodesUsed?.value).to.satisfy((inodes: bigint) => inodes > 0n);
  });

  it("keeps a hostile image's labels to itself", async () => {
    const id = await ensureImage(node.docker, "dockline.test/hostile:1");
    expect((await statusOf(id))?.repoTags).to.deep.equal(["dockline.test/hostile:1"]);
  });
});
