import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { failpointFile } from "../support/failpoint-file.ts";
import { removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { registryImage } from "../support/registry-image.ts";
import { startScriptedRegistry } from "../support/scripted-registry.ts";
import type { RegistryPart, ScriptedRegistry } from "../support/scripted-registry.ts";
import { until } from "../support/until.ts";

/** Dockline is killed while it changes images; what it learns afterwards is all that it knows. */
describe("kill -9 while images change", () => {
  const failpoint = failpointFile();
  const { environment } = failpoint;
  let node: TestNode;
  let registry: ScriptedRegistry;
  let start: NodeState;

  before(async () => {
    node = await startNode({ withoutNetwork: true, environment });
    registry = await startScriptedRegistry(await registryImage({ files: [] }));
  });
  after(async () => {
    await registry.close();
    await node.close();
    failpoint.remove();
  });
  beforeEach(async () => {
    // Of its own for each test: engines keep layers of pulls that were cut.
    registry.image = await registryImage({
      files: [{ path: "random", content: randomBytes(300_000) }],
    });
    registry.script = () => false;
    registry.seen.splice(0);
    node.proxy.reset();
    start = nodeState(node);
  });
  afterEach(async () => {
    await removeImagesOf(node, registry.host);
    await expectNothingLeft(node, start);
  });

  const reference = (tag = "1"): string => `${registry.host}/some/image:${tag}`;
  const pull = async (tag?: string): Promise<string> => {
    const { imageRef } = await node.images.pullImage({ image: { image: reference(tag) } });
    return imageRef;
  };
  /** Ids of this registry's images, as Dockline lists them. */
  const listed = async (): Promise<string[]> => {
    const { images } = await node.images.listImages({});
    return images
      .filter(({ repoTags }) => repoTags.some((tag) => tag.startsWith(registry.host)))
      .map(({ id }) => id);
  };
  const lost = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => false,
      () => true,
    );
  const expectWhole = async (id: string): Promise<void> => {
    expect(await listed()).to.deep.equal([id]);
    const { image } = await node.images.imageStatus({ image: { image: reference() } });
    expect(image?.id).to.equal(id);
    expect(Number(image?.size)).to.be.at.least(300_000);
  };

  it("at pull.after-pull: the image is there, and pulling it again is no more than asking", async () => {
    failpoint.arm("pull.after-pull");
    const failed = lost(pull());
    await node.ended();
    expect(await failed).to.equal(true);
    failpoint.arm("");
    await node.start();
    const [id = ""] = await listed();
    await expectWhole(id);
    const layers = registry.seen.filter(({ part }) => part === "layer").length;
    expect(await pull()).to.equal(id);
    expect(registry.seen.filter(({ part }) => part === "layer")).to.have.length(layers);
    await node.images.removeImage({ image: { image: reference() } });
    expect(await listed()).to.deep.equal([]);
  });

  for (const silent of ["manifest", "layer"] as const satisfies RegistryPart[]) {
    it(`while the registry owes the ${silent}: no half image, and the next pull is whole`, async () => {
      registry.script = (part) => part === silent;
      const failed = lost(pull());
      await until(() => registry.seen.some(({ part }) => part === silent));
      await node.kill();
      expect(await failed).to.equal(true);
      await node.start();
      expect(await listed()).to.deep.equal([]);
      // Docker gives the pull up with its client: nothing is under way behind the new Dockline.
      await until(() => node.proxy.requests.every((r) => r.route !== "/images/create" || r.closed));
      registry.script = () => false;
      registry.hangUp();
      await expectWhole(await pull());
    });
  }

  it("between two references of a removal: the rest is listed, and goes with the next one", async () => {
    const id = await pull("1");
    expect(await pull("2")).to.equal(id);
    const removals = (): number =>
      node.proxy.requests.filter(({ method, route }) => {
        return method === "DELETE" && route.startsWith("/images/");
      }).length;
    // The first one passes; the second is never answered.
    node.proxy.faults.add({
      match: { method: "DELETE", route: /^\/images\// },
      action: "delay",
      delayMs: 0,
      times: 1,
    });
    node.proxy.faults.add({ match: { method: "DELETE", route: /^\/images\// }, action: "hang" });
    const failed = lost(node.images.removeImage({ image: { image: id } }));
    await until(() => removals() === 2);
    await node.kill();
    expect(await failed).to.equal(true);
    node.proxy.faults.clear();
    await node.start();
    expect(await listed()).to.deep.equal([id]);
    const { image } = await node.images.imageStatus({ image: { image: id } });
    expect(image?.repoTags).to.have.length(1);
    await node.images.removeImage({ image: { image: id } });
    expect(await listed()).to.deep.equal([]);
  });
});
