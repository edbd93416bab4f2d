import { expect } from "chai";
import type { ContainerEntry } from "../../../src/index/container-index.ts";
import type { LegacyAttachment } from "../../../src/network/legacy-pods.ts";
import { ForeignNetworks } from "../../../src/pods/foreign-network.ts";

describe("the network of a pod that another runtime made", () => {
  const entryOf = (Pid: number, Running = true): ContainerEntry =>
    ({ id: "p1", state: { Pid, Running } }) as ContainerEntry;
  let asked: number;
  const networks = (saved: LegacyAttachment): ForeignNetworks =>
    new ForeignNetworks({
      legacyAttachment: () => {
        asked += 1;
        return Promise.resolve(saved);
      },
    });
  beforeEach(() => (asked = 0));

  it("is what was saved at ADD, and is read once", async () => {
    const found = networks({ ips: ["10.0.0.5"], pausePid: 7 });
    const first = await found.of(entryOf(7));
    expect(first)
      .to.include({ ready: true })
      .and.deep.include({ ips: ["10.0.0.5"] });
    expect(await found.of(entryOf(7))).to.equal(first);
    expect(asked).to.equal(1);
    expect(found.isReady(entryOf(7))).to.equal(true);
  });

  it("is lost, with its addresses, when the pause container was restarted", async () => {
    const found = networks({ ips: ["10.0.0.5"], pausePid: 7 });
    await found.of(entryOf(7));
    const lost = await found.of(entryOf(8));
    expect(lost).to.include({ ready: false }).and.deep.include({ ips: [] });
    expect(await found.of(entryOf(8))).to.equal(lost);
    expect(found.isReady(entryOf(8))).to.equal(false);
  });

  it("is as Docker says where the pid is not known", async () => {
    for (const [saved, entry] of [
      [{ ips: ["10.0.0.5"] }, entryOf(8)],
      [{ ips: ["10.0.0.5"], pausePid: 7 }, entryOf(0)],
      [{ ips: ["10.0.0.5"], pausePid: 7 }, entryOf(8, false)],
    ] as const) {
      expect((await networks({ ...saved, ips: [...saved.ips] }).of(entry)).ready).to.equal(true);
    }
  });

  it("counts as ready before the first look, and after it was forgotten", async () => {
    const found = networks({ ips: [], pausePid: 7 });
    expect(found.isReady(entryOf(8))).to.equal(true);
    await found.of(entryOf(8));
    expect(found.isReady(entryOf(8))).to.equal(false);
    found.forget("p1");
    expect(found.isReady(entryOf(8))).to.equal(true);
  });
});
