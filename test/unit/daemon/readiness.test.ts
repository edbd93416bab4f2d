import { expect } from "chai";
import { Readiness } from "../../../src/daemon/readiness.ts";
import { silentLogger } from "../../../src/log.ts";
import type { NetworkStatus } from "../../../src/network/network.ts";

const ready: NetworkStatus = { ready: true, reason: "", message: "" };
const not = (message: string): NetworkStatus => ({
  ready: false,
  reason: "NetworkPluginNotReady",
  message,
});

describe("what the log says of the node's conditions", () => {
  let health = { engineReady: false, synced: false };
  let network = ready;
  let nowMs = 0;
  let asked = 0;
  let lines: string[];
  let readiness: Readiness;

  beforeEach(() => {
    health = { engineReady: false, synced: false };
    network = ready;
    [nowMs, asked, lines] = [0, 0, []];
    const say = (fields: object, msg: string): void => {
      const { error } = fields as { error?: string };
      lines.push(error === undefined ? msg : `${msg} (${error})`);
    };
    readiness = new Readiness({
      health: () => health,
      network: {
        status: () => {
          asked += 1;
          return Promise.resolve(network);
        },
      },
      log: { ...silentLogger, info: say, warn: say },
      monotonicMs: () => nowMs,
    });
  });

  const look = async (): Promise<string[]> => {
    lines.length = 0;
    nowMs += 5_000;
    await readiness.look();
    return [...lines];
  };

  it("is why the network is not ready, at the start and at each change", async () => {
    network = not("no CNI configuration in /etc/cni/net.d");
    const line = "the pod network is not ready: only pods on the node's network can start";
    expect(await look()).to.deep.equal([`${line} (no CNI configuration in /etc/cni/net.d)`]);
    expect(await look()).to.deep.equal([]);
    network = not("plugin bridge is missing");
    expect(await look()).to.deep.equal([`${line} (plugin bridge is missing)`]);
    network = ready;
    expect(await look()).to.deep.equal(["the pod network is ready"]);
    network = not("gone");
    expect(await look()).to.deep.equal([`${line} (gone)`]);
  });

  it("says the same once, whatever counts a plugin puts into its words", async () => {
    network = not("not ready for 1 s");
    await look();
    network = not("not ready for 2 s");
    expect(await look()).to.deep.equal([]);
  });

  it('is "up" when Docker answers and is known, "ready" when pods can be started', async () => {
    network = not("none");
    await look();
    health = { engineReady: true, synced: false };
    expect(await look()).to.deep.equal([]);
    health.synced = true;
    expect(await look()).to.deep.equal([
      "dockline is up: Docker answers and its containers are known",
    ]);
    network = ready;
    expect(await look()).to.deep.equal([
      "the pod network is ready",
      "dockline is ready: pods can be started",
    ]);
    health.engineReady = false;
    expect(await look()).to.deep.equal([]);
    health.engineReady = true;
    expect(await look()).to.deep.equal(["dockline is ready: pods can be started"]);
  });

  it("asks a network that is ready as seldom as a kubelet, and one that is not again at once", async () => {
    await look();
    nowMs += 1_000;
    await readiness.look();
    expect(asked).to.equal(1);
    network = not("none");
    nowMs += 5_000;
    await readiness.look();
    nowMs += 1_000;
    await readiness.look();
    expect(asked).to.equal(3);
  });
});
