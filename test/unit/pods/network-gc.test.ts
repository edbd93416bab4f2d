import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { CniError } from "../../../src/network/cni-error.ts";
import type { ValidAttachment } from "../../../src/network/other-attachments.ts";
import { NetworkGc } from "../../../src/pods/network-gc.ts";

const signal = new AbortController().signal;

describe("CNI GC", () => {
  let nowMs: number;
  let ready: boolean;
  let answers: (Error | string)[];
  let collected: string[][];
  let slept: number;
  let gc: NetworkGc;
  const records = [
    { id: "own", network: { containerId: "own", ifName: "eth0" } },
    { id: "host" },
    { id: "released" },
  ];
  const entries = [
    { id: "own", inspect: { HostConfig: { NetworkMode: "none" } } },
    { id: "host", inspect: { HostConfig: { NetworkMode: "host" } } },
    { id: "released", inspect: { HostConfig: { NetworkMode: "none" } } },
    { id: "taken-over", inspect: { HostConfig: { NetworkMode: "none" } } },
    { id: "taken-over-host", inspect: { HostConfig: { NetworkMode: "host" } } },
    { id: "not-inspected" },
  ];

  beforeEach(() => {
    [nowMs, ready, answers, collected, slept] = [0, true, [], [], 0];
    gc = new NetworkGc({
      network: {
        status: () => Promise.resolve({ ready, reason: "", message: "agent is down" }),
        gc: async (valid: () => Promise<readonly ValidAttachment[]>) => {
          const answer = answers.shift();
          if (answer instanceof Error) throw answer;
          collected.push(
            (await valid()).map(({ containerId, ifName }) => `${containerId} ${ifName}`),
          );
          return answer;
        },
      },
      records: {
        all: () => records,
        byId: (id: string) => records.find((record) => record.id === id),
      },
      index: { sandboxes: () => Promise.resolve(entries) },
      clock: {
        monotonicMs: () => nowMs,
        sleep: (ms: number) => {
          nowMs += ms;
          slept += 1;
          return Promise.resolve();
        },
      },
      log: silentLogger,
    } as unknown as ConstructorParameters<typeof NetworkGc>[0]);
  });

  const busy = (): Error => new CriError("Unavailable", "pods are being attached");
  const passes = async (ms: number): Promise<void> => {
    for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 250) await gc.settle();
  };

  it("runs once after a start, with every attachment that there may be", async () => {
    await passes(60_000);
    expect(collected).to.deep.equal([["own eth0", "taken-over eth0", "not-inspected eth0"]]);
  });

  it("waits for a network that is ready and for a moment without ADD and DEL", async () => {
    ready = false;
    await passes(10_000);
    expect(collected).to.deep.equal([]);
    ready = true;
    answers = [busy(), busy()];
    await passes(10_000);
    expect(collected).to.have.length(1);
  });

  it("runs again after a DEL was given up, and what that held is not listed any more", async () => {
    await passes(1_000);
    gc.givenUp("own");
    gc.givenUp("taken-over");
    await passes(10_000);
    expect(collected.slice(1)).to.deep.equal([["not-inspected eth0"]]);
    answers = [busy()];
    gc.givenUp("own");
    await passes(10_000);
    expect(collected.slice(2), "after an attempt in vain").to.deep.equal([
      ["taken-over eth0", "not-inspected eth0"],
    ]);
  });

  it("is not repeated by itself when a plugin fails", async () => {
    const about = { plugin: "bridge", verb: "GC", failure: "plugin" } as const;
    answers = [new CniError(about, "no")];
    await passes(60_000);
    expect(collected).to.deep.equal([]);
    await gc.run(signal);
    expect(collected).to.have.length(1);
  });

  it("runs when an operator asks, who hears why it cannot", async () => {
    answers = [busy(), busy()];
    await gc.run(signal);
    expect([collected.length, slept]).to.deep.equal([1, 2]);
    const failure = async (): Promise<unknown> =>
      await gc.run(signal).catch((error: unknown) => error);
    answers = ["network net has disableGC set"];
    const told = { kind: "FailedPrecondition", message: "network net has disableGC set" };
    expect(await failure()).to.include(told);
    answers = Array.from({ length: 1000 }, busy);
    expect(await failure()).to.include({ kind: "Unavailable" });
    expect(nowMs).to.be.within(60_000, 61_000);
    ready = false;
    expect(await failure()).to.include({ message: "network: agent is down" });
  });
});
