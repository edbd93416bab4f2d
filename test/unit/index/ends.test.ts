import { expect } from "chai";
import { EventsFeed } from "../../../src/index/events-feed.ts";
import { silentLogger } from "../../../src/log.ts";
import { addPod, elapsed, rig, type Rig } from "./rig.ts";
import { settle } from "./virtual-clock.ts";

describe("the container index, when a container ends", () => {
  let r: Rig;
  const victims = new Set<string>();
  beforeEach(async () => {
    victims.clear();
    r = await rig({ oomKilled: (id) => victims.has(id) });
  });
  afterEach(async () => {
    await r.index.close();
  });

  /** The inspects that begin from now on wait for the returned function. */
  function holdInspects(): () => void {
    let release = (): void => undefined;
    r.docker.hooks.after = ({ method }) =>
      method === "inspectContainer" ? new Promise((resolve) => (release = resolve)) : undefined;
    return () => {
      r.docker.hooks.after = undefined;
      release();
    };
  }

  it("while it is being inspected, answers a status after another inspect only", async () => {
    const { containerId } = addPod(r.docker, "a");
    await r.clock.advance(500);
    const release = holdInspects();
    r.docker.start(containerId);
    await settle();
    const status = r.index.find("container", containerId);
    await settle();
    r.docker.exit(containerId, 137);
    await settle();
    release();
    expect(await elapsed(r, status)).to.be.at.most(100);
    const entry = await status;
    expect(entry?.dirty, "the end is inspected").to.equal(false);
    expect(entry?.state).to.include({ Status: "exited", ExitCode: 137 });
    const { State } = await r.engine.inspectContainer(containerId);
    expect(entry?.state.FinishedAt).to.equal(State.FinishedAt);
  });

  it("while it is being inspected, answers for its pod after another inspect only", async () => {
    const { sandboxId, containerId } = addPod(r.docker, "a");
    await r.clock.advance(500);
    const release = holdInspects();
    r.docker.start(containerId);
    await settle();
    const members = r.index.membersOf(sandboxId);
    await settle();
    r.docker.exit(containerId, 3);
    await settle();
    release();
    await elapsed(r, members);
    expect((await members).map(({ dirty }) => dirty)).to.deep.equal([false]);
  });

  it("takes the kernel's word for a kill that the engine does not know of", async () => {
    const ends: [number, boolean][] = [
      [137, true],
      [9, true],
      [0, false],
    ];
    for (const [code, killed] of ends) {
      const { containerId } = addPod(r.docker, `p${code}`);
      r.docker.start(containerId);
      await r.clock.advance(500);
      victims.add(containerId);
      r.docker.exit(containerId, code);
      await settle();
      const found = r.index.find("container", containerId);
      await elapsed(r, found);
      const entry = await found;
      expect(entry?.state.OOMKilled, `code ${code}`).to.equal(killed);
      await r.clock.advance(500);
      expect(r.index.peek(containerId)?.state.OOMKilled, `code ${code}`).to.equal(killed);
    }
  });

  it("tells of a started sandbox when RunPodSandbox has ended, and of its containers after it", async () => {
    let finish = (): void => undefined;
    const ended = new Promise<void>((resolve) => (finish = resolve));
    const feed = new EventsFeed({ index: r.index, log: silentLogger, setUp: () => ended });
    const stop = new AbortController();
    const told: string[] = [];
    const reader = (async () => {
      for await (const { entry, kind } of feed.follow(stop.signal))
        told.push(`${entry.kind} ${kind}`);
    })();
    await settle();
    const { containerId } = addPod(r.docker, "a");
    r.docker.start(containerId);
    await r.clock.advance(1_000);
    expect(told).to.deep.equal(["podsandbox created"]);
    finish();
    await r.clock.advance(1_000);
    expect(told.slice(1)).to.deep.equal([
      "podsandbox started",
      "container created",
      "container started",
    ]);
    stop.abort();
    feed.close();
    await reader;
  });
});
