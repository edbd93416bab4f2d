import { expect } from "chai";
import type { ContainerCreate } from "../../../src/engine/types.ts";
import { failureOf } from "../../support/engine-failure.ts";
import { engineRig } from "../../support/engine-rig.ts";

const body: ContainerCreate = { Image: "busybox:1", Labels: { a: "b" }, HostConfig: {} };

describe("API version negotiation", () => {
  const rig = engineRig();
  let { fake, proxy, engine } = rig;
  beforeEach(() => ({ fake, proxy, engine } = rig));

  it("negotiates again after the engine was away, and speaks an older or newer API", async () => {
    await engine.listImages();
    expect([engine.supports(47), engine.supports(48)]).to.deep.equal([true, false]);
    fake.docker.goAway();
    expect((await failureOf(engine.listImages())).failure).to.equal("unreachable");
    fake.docker.apiVersion = [1, 43];
    fake.docker.comeBack();
    await engine.listImages();
    expect(engine.connection).to.deep.equal({ apiVersion: [1, 43] });
    expect(proxy.requests.at(-1)?.path).to.equal("/v1.43/images/json");
  });

  it("negotiates again when the engine refuses the version, for writes as well", async () => {
    await engine.listImages();
    fake.docker.apiVersion = [1, 44];
    const { id } = await engine.createContainer("one", body);
    expect(fake.docker.containers.size).to.equal(1);
    fake.docker.apiVersion = [1, 52];
    fake.docker.minApiVersion = [1, 50];
    expect(await engine.startContainer(id)).to.equal(true);
    expect(engine.connection.apiVersion).to.deep.equal([1, 52]);
    fake.docker.apiVersion = [1, 40];
    fake.docker.minApiVersion = [1, 12];
    expect((await failureOf(engine.listImages())).message).to.match(/too old/);
    expect((await failureOf(engine.listImages())).failure).to.equal("protocol");
  });

  it("notices a newer engine by its answers", async () => {
    await engine.listImages();
    fake.docker.apiVersion = [1, 51];
    await engine.listImages();
    await engine.listImages();
    expect(engine.connection.apiVersion).to.deep.equal([1, 51]);
    expect(proxy.count(/_ping/)).to.equal(2);
  });

  it("asks for the version once, however many requests wait for it", async () => {
    await Promise.all(Array.from({ length: 30 }, () => engine.listImages()));
    expect(proxy.count(/_ping/)).to.equal(1);
    expect(proxy.count()).to.equal(31);
  });

  it("asks for images only where the engine can tell them apart", async () => {
    await engine.ping();
    await engine.diskUsage();
    fake.docker.apiVersion = [1, 41];
    await engine.ping();
    await engine.diskUsage();
    const paths = proxy.requests.filter((r) => r.route === "/system/df").map((r) => r.path);
    expect(paths).to.deep.equal(["/v1.47/system/df?type=image", "/v1.41/system/df"]);
  });
});
