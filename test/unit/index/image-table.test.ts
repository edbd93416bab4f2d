import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import type { FakeImageSpec } from "../../support/fake-images.ts";
import { rig, type Rig } from "./rig.ts";

const DIGEST = `sha256:${"d".repeat(64)}`;

describe("the image index", () => {
  let r: Rig;
  beforeEach(async () => {
    r = await rig();
    await r.clock.advance(200);
  });
  afterEach(async () => {
    await r.index.close();
  });

  /** As another client's build or load: the image, and an event of it. */
  function appears(spec: FakeImageSpec): string {
    const { id } = r.docker.images.add(spec);
    const [repository = "", tag = ""] = (spec.references[0] ?? "").split(":");
    r.docker.images.tag(id, repository, tag);
    return id;
  }

  const asked = (): number => r.asked("listImages") + r.asked("inspectImage");

  it("finds by id, tag, digest and short id, and asks for nothing when quiet", async () => {
    const id = appears({
      references: ["example.org/app:v1", "example.org/app:v2"],
      digests: [`example.org/app@${DIGEST}`],
      user: "1000",
    });
    await r.clock.advance(200);
    const before = asked();
    const names = [
      id,
      id.slice("sha256:".length),
      id.slice(0, 19),
      id.slice(7, 19),
      "example.org/app:v1",
      `example.org/app@${DIGEST}`,
      `example.org/app:v2@${DIGEST}`,
    ];
    for (const name of names) {
      expect((await r.index.images.find(name))?.id, name).to.equal(id);
    }
    const short = await r.index.images.find("busybox:1");
    expect((await r.index.images.find("docker.io/library/busybox:1"))?.id).to.equal(short?.id);
    const entry = r.index.images.peek(id);
    expect(entry?.repoTags).to.deep.equal(["example.org/app:v1", "example.org/app:v2"]);
    expect(entry?.inspect.Config?.User).to.equal("1000");
    await r.index.images.list();
    expect(asked() - before).to.equal(0);
  });

  it("asks once before it says that an image is not there", async () => {
    const before = asked();
    expect(await r.index.images.find("nothing:1")).to.equal(undefined);
    expect(asked() - before).to.equal(1);
    r.docker.events.fate = () => "drop";
    const { id } = r.docker.images.add({ references: ["quiet:1"] });
    expect((await r.index.images.find("quiet:1"))?.id).to.equal(id);
    await r.clock.advance(200);
    expect((await r.index.images.list()).map((image) => image.id)).to.include(id);
  });

  it("shows own pulls and removals in the next read, and foreign ones after their event", async () => {
    r.docker.events.fate = () => "drop";
    const { id } = r.docker.images.add({ references: ["own:1"] });
    r.index.images.touched();
    expect((await r.index.images.list()).some((image) => image.id === id)).to.equal(true);
    await r.engine.removeImage("own:1");
    r.index.images.touched();
    expect((await r.index.images.list()).some((image) => image.id === id)).to.equal(false);
    r.docker.events.fate = () => "deliver";
    const foreign = appears({ references: ["foreign:1"] });
    await r.clock.advance(10);
    expect((await r.index.images.list()).some((image) => image.id === foreign)).to.equal(true);
  });

  it("changes its revision only with the images", async () => {
    const { revision } = r.index.images;
    await r.clock.advance(300_000);
    expect(r.index.images.revision).to.equal(revision);
    appears({ references: ["new:1"] });
    await r.clock.advance(200);
    expect(r.index.images.revision).to.be.greaterThan(revision);
  });

  it("keeps the labels of an image, and knows that it is gone", async () => {
    const id = appears({ references: ["labelled:1"], labels: { a: "b" } });
    await r.clock.advance(200);
    const before = asked();
    expect(await r.index.images.labelsOf(id)).to.deep.equal({ a: "b" });
    expect(asked()).to.equal(before);
    expect(await r.index.images.labelsOf(DIGEST)).to.equal(undefined);
    expect(await r.index.images.labelsOf(DIGEST)).to.equal(undefined);
    expect(asked() - before).to.equal(1);
  });

  it("serves the last known while the engine is away, then Unavailable", async () => {
    const known = await r.index.images.list();
    r.docker.goAway();
    await r.clock.advance(5_000);
    expect(await r.index.images.list()).to.deep.equal(known);
    await r.clock.advance(40_000);
    const error = await r.index.images.list().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(CriError);
    expect((error as CriError).kind).to.equal("Unavailable");
  });

  it("answers from the list alone where an image's inspect fails", async () => {
    r.docker.hooks.before = ({ method }) => {
      if (method === "inspectImage") throw new Error("broken layer store");
    };
    appears({ references: ["broken:1"] });
    await r.clock.advance(200);
    const found = await r.index.images.find("broken:1");
    expect(found?.repoTags).to.deep.equal(["broken:1"]);
    r.docker.hooks.before = undefined;
    await r.clock.advance(61_000);
    expect((await r.index.images.find("broken:1"))?.summary).not.to.equal(undefined);
  });

  it("refuses what is no reference", async () => {
    const error = await r.index.images.find("Bad Name!").then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect((error as CriError).kind).to.equal("InvalidArgument");
  });
});
