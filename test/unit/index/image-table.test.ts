import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import type { FakeImageSpec } from "../../support/fake-images.ts";
import { refuse } from "../../support/fake-errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { rig, type Rig } from "./rig.ts";
import { settle } from "./virtual-clock.ts";

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

  /** What another client's build or load does: the image is there, and an event says so. */
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
      if (method === "inspectImage") throw refuse(500, "inspect image", "broken layer store");
    };
    appears({ references: ["broken:1"] });
    await r.clock.advance(200);
    const found = await r.index.images.find("broken:1");
    expect(found?.repoTags).to.deep.equal(["broken:1"]);
    r.docker.hooks.before = undefined;
    await r.clock.advance(61_000);
    const whole = await r.index.images.find("broken:1");
    expect(whole?.inspected).to.equal(true);
  });

  it("asks ever less often for an image that cannot be inspected, and warns once", async () => {
    const warnings: unknown[] = [];
    await r.index.close();
    const warn = (...told: unknown[]): void => void warnings.push(told);
    r = await rig({ log: { ...silentLogger, warn } });
    await r.clock.advance(200);
    let inspects = 0;
    r.docker.hooks.before = ({ method }) => {
      if (method !== "inspectImage") return;
      inspects += 1;
      throw refuse(500, "inspect image", "broken layer store");
    };
    appears({ references: ["broken:1"] });
    await r.clock.advance(3_600_000);
    // 5, 10, 20, … s, then each 5 minutes.
    expect(inspects).to.be.within(15, 22);
    expect(
      warnings.filter((told) => JSON.stringify(told).includes("image inspect")),
    ).to.have.length(1);
  });

  it("does not inspect in the background while the events do not come", async () => {
    r.docker.hooks.before = ({ method }) => {
      if (method === "inspectImage") throw refuse(500, "inspect image", "broken layer store");
      return method === "events" ? new Promise(() => undefined) : undefined;
    };
    appears({ references: ["broken:1"] });
    await r.clock.advance(200);
    const before = r.asked("inspectImage");
    r.docker.events.cut();
    await r.clock.advance(60_000);
    expect(r.asked("inspectImage")).to.equal(before);
  });

  it("says that an image is not there that went before it was inspected", async () => {
    r.docker.hooks.before = ({ method }) => {
      if (method === "inspectImage") throw refuse(500, "inspect image", "broken layer store");
    };
    const id = appears({ references: ["gone:1"] });
    await r.clock.advance(200);
    expect((await r.index.images.find(id))?.inspected).to.equal(false);
    r.docker.hooks.before = undefined;
    r.docker.images.byId.delete(id);
    expect(await r.index.images.find(id)).to.equal(undefined);
  });

  it("keeps the names of a list that came while an older inspect was under way", async () => {
    r.docker.hooks.before = ({ method }) => {
      if (method === "inspectImage") throw refuse(500, "inspect image", "broken layer store");
    };
    const id = appears({ references: ["named:1"] });
    await r.clock.advance(200);
    r.docker.hooks.before = undefined;
    let answer = (): void => undefined;
    let late = true;
    r.docker.hooks.after = ({ method }) => {
      if (method !== "inspectImage" || !late) return undefined;
      late = false;
      return new Promise((resolve) => (answer = resolve));
    };
    const found = r.index.images.find(id);
    await settle();
    r.docker.hooks.before = ({ method }) => {
      if (method === "inspectImage") throw refuse(500, "inspect image", "broken layer store");
    };
    r.docker.images.tag(id, "named", "2");
    await r.clock.advance(200);
    expect(r.index.images.peek(id)?.repoTags).to.deep.equal(["named:1", "named:2"]);
    r.docker.hooks.before = undefined;
    answer();
    await settle();
    expect((await found)?.repoTags).to.deep.equal(["named:1", "named:2"]);
    expect(r.index.images.peek(id)).to.include({ inspected: true });
    expect(r.index.images.peek(id)?.repoTags).to.deep.equal(["named:1", "named:2"]);
  });

  it("refuses what is no reference", async () => {
    const error = await r.index.images.find("Bad Name!").then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect((error as CriError).kind).to.equal("InvalidArgument");
  });
});
