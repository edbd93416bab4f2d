import { expect } from "chai";
import { createBody, podName, rig } from "./rig.ts";
import type { Rig } from "./rig.ts";

// What another client makes is learnt of by its events; its inspect is read, and comes late.

describe("the index and an object that it does not know yet", () => {
  let r: Rig;
  let answer: () => void;
  beforeEach(async () => {
    r = await rig();
    answer = () => undefined;
    r.docker.hooks.after = ({ method }) => {
      if (method !== "inspectContainer") return undefined;
      delete r.docker.hooks.after;
      return new Promise((resolve) => (answer = resolve));
    };
  });
  afterEach(() => r.index.close());

  const makePod = async (): Promise<string> => {
    const { id } = r.docker.create(podName("web"), createBody(podName("web")));
    // A start follows most creates at once, so that the inspect is not in a hurry.
    await r.clock.advance(450);
    expect(r.asked("inspectContainer")).to.equal(1);
    return id;
  };
  const shown = async (id: string) => {
    await r.clock.advance(100);
    const entry = r.index.peek(id);
    return {
      cpuShares: entry?.inspect?.HostConfig.CpuShares,
      status: entry?.state.Status,
      dirty: entry?.dirty,
      inspects: r.asked("inspectContainer"),
    };
  };

  it("inspects it again when something happened to it meanwhile", async () => {
    const id = await makePod();
    r.docker.start(id);
    r.docker.update(id, { CpuShares: 77 });
    await r.clock.advance(100);
    answer();
    expect(await shown(id)).to.deep.equal({
      cpuShares: 77,
      status: "running",
      dirty: false,
      inspects: 2,
    });
  });

  it("inspects it again when the events broke off meanwhile", async () => {
    const id = await makePod();
    // The list that follows a gap does not come, so nothing else makes the object known.
    r.docker.hooks.before = ({ method }) =>
      method === "listContainers" ? new Promise<void>(() => undefined) : undefined;
    r.docker.events.cut();
    r.docker.update(id, { CpuShares: 78 });
    await r.clock.advance(200);
    answer();
    expect(await shown(id)).to.include({ cpuShares: 78, dirty: false, inspects: 2 });
  });

  it("asks once when nothing happened", async () => {
    const id = await makePod();
    answer();
    expect(await shown(id)).to.deep.equal({
      cpuShares: undefined,
      status: "created",
      dirty: false,
      inspects: 1,
    });
  });
});
