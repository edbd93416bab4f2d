import { expect } from "chai";
import { isPinned } from "../../../src/convert/pinned.ts";
import type { ImageEntry } from "../../../src/index/image-index.ts";
import { rig, type Rig } from "./rig.ts";

const many = 10_000;

describe("the image index with ten thousand images", function () {
  this.timeout(60_000);

  let r: Rig;
  let inspects: string[];
  beforeEach(async () => {
    r = await rig();
    inspects = [];
    for (let n = 0; n < many; n += 1) {
      r.docker.images.add({ references: [], digests: [`reg.test/app${n}@sha256:${n}`], user: "7" });
    }
    // Tags would be compared with all others by the fake.
    let n = 0;
    for (const image of r.docker.images.byId.values()) image.tags.add(`reg.test/app${n++}:1`);
    r.docker.hooks.before = ({ method, subject }) => {
      if (method !== "inspectImage") return undefined;
      inspects.push(subject);
      return r.clock.sleep(5);
    };
    r.index.images.touched();
  });
  afterEach(async () => {
    await r.index.close();
    await r.clock.advance(10);
    expect(r.clock.sleeping, "timers left after close").to.equal(0);
  });

  it("lists them at once, and inspects no more than 50 a second", async () => {
    expect(await r.index.images.list()).to.have.length(many + 1);
    expect(inspects.length).to.be.at.most(1);
    await r.clock.advance(10_000);
    expect(inspects.length).to.be.within(300, 500);
    expect(new Set(inspects).size, "each once").to.equal(inspects.length);
  });

  it("answers for one of them at once, with its user, before all that nobody waits for", async () => {
    await r.index.images.list();
    const before = inspects.length;
    const found = r.index.images.find(`reg.test/app${many - 5}:1`);
    await r.clock.advance(6);
    expect((await found)?.inspect.Config?.User).to.equal("7");
    expect(inspects.length - before).to.be.at.most(2);
    await r.index.images.find(`reg.test/app${many - 5}:1`);
    expect(inspects.length - before).to.be.at.most(2);
  });

  it("does not offer for collection what may be an image of no registry", async () => {
    const policy = {
      pauseReference: "",
      patterns: [],
      localImages: { containerdStore: true, apiMinor: 53 },
    };
    const pinned = (entry: ImageEntry | undefined): boolean =>
      entry !== undefined && isPinned(entry, policy);
    const [image] = [...r.docker.images.byId.values()].slice(-1);
    const inspected = r.docker.images.inspect(image?.id ?? "");
    r.docker.images.inspect = () => ({ ...inspected, Identity: { Pull: [{}] } });
    const listed = (await r.index.images.list()).find(({ id }) => id === image?.id);
    expect(listed?.inspected).to.equal(false);
    expect(pinned(listed), "not looked at yet").to.equal(true);
    const found = r.index.images.find(image?.id ?? "");
    await r.clock.advance(6);
    expect(pinned(await found), "pulled, as its inspect says").to.equal(false);
  });
});
