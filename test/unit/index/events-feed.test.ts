import { expect } from "chai";
import type { CriError } from "../../../src/errors.ts";
import { EventsFeed, type FeedItem } from "../../../src/index/events-feed.ts";
import { silentLogger } from "../../../src/log.ts";
import { addPod, rig, type Rig } from "./rig.ts";
import { settle } from "./virtual-clock.ts";

describe("the feed of container events", () => {
  let r: Rig;
  let feed: EventsFeed;
  let stop: AbortController;
  beforeEach(async () => {
    r = await rig();
    feed = new EventsFeed({ index: r.index, log: silentLogger, queueLimit: 5 });
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    feed.close();
    await r.index.close();
  });

  /** Collects in the background until stopped. */
  function collect(): { items: FeedItem[]; ended: Promise<unknown> } {
    const items: FeedItem[] = [];
    const ended = (async () => {
      for await (const item of feed.follow(stop.signal)) items.push(item);
      return undefined;
    })().catch((error: unknown) => error);
    return { items, ended };
  }

  it("tells each step with the facts of an inspect, also when all is gone", async () => {
    const { items, ended } = collect();
    const { sandboxId, containerId } = addPod(r.docker, "a");
    await r.clock.advance(1_000);
    r.docker.start(containerId);
    await r.clock.advance(1_000);
    r.docker.exit(containerId, 3);
    await r.clock.advance(1_000);
    r.docker.remove(sandboxId, { force: true });
    await r.clock.advance(1_000);
    r.docker.remove(containerId, { force: true });
    await r.clock.advance(1_000);
    const told = items.map((item) => `${item.entry.kind} ${item.kind}`);
    expect(told.filter((text) => text.startsWith("container"))).to.deep.equal([
      "container created",
      "container started",
      "container stopped",
      "container deleted",
    ]);
    expect(told.filter((text) => text.startsWith("podsandbox"))).to.deep.equal([
      "podsandbox created",
      "podsandbox started",
      "podsandbox stopped",
      "podsandbox deleted",
    ]);
    expect(items.every((item) => item.podSandboxId === sandboxId)).to.equal(true);
    expect(items.every((item) => item.sandbox?.id === sandboxId)).to.equal(true);
    const stopped = items.find((item) => item.kind === "stopped");
    expect(stopped?.entry.state.ExitCode).to.equal(3);
    expect(stopped?.members.map((member) => member.id)).to.deep.equal([containerId]);
    expect(items.at(-1)?.members).to.deep.equal([]);
    stop.abort();
    expect(await ended).to.equal(undefined);
    expect(feed.subscribers).to.equal(0);
  });

  it("keeps going for other pods while one's inspect hangs", async () => {
    const sick = addPod(r.docker, "sick").containerId;
    const well = addPod(r.docker, "well").containerId;
    await r.clock.advance(1_000);
    const { items } = collect();
    r.docker.hooks.before = ({ method, subject }) =>
      method === "inspectContainer" && subject === sick ? new Promise(() => undefined) : undefined;
    r.docker.start(sick);
    r.docker.start(well);
    await r.clock.advance(500);
    expect(items.map((item) => item.entry.id)).to.deep.equal([well]);
    await r.clock.advance(3_000);
    expect(items.map((item) => item.entry.id)).to.deep.equal([well, sick]);
  });

  it("cuts off a reader that does not read, and no other", async () => {
    const slow = feed.follow(stop.signal);
    const first = slow.next();
    const { items, ended } = collect();
    for (let pod = 0; pod < 8; pod += 1) {
      addPod(r.docker, `p${pod}`);
      await r.clock.advance(100);
    }
    expect((await first).done).to.equal(false);
    const error = await slow.next().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect((error as CriError).kind).to.equal("ResourceExhausted");
    await r.clock.advance(500);
    expect(items.length).to.equal(8 * 3);
    expect(feed.subscribers).to.equal(1);
    stop.abort();
    expect(await ended).to.equal(undefined);
  });

  it("ends its readers when closed", async () => {
    const { ended } = collect();
    await settle();
    feed.close();
    expect(await ended).to.equal(undefined);
  });
});
