import { expect } from "chai";
import { readNetwork } from "../../../src/stats/net-dev.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeTree } from "./trees.ts";

const heading = [
  "Inter-|   Receive                                                |  Transmit",
  " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
];
const lo = "    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0";
const eth0 = "  eth0: 10 2 3 4 0 0 0 9 18446744073709551615 6 7 8 0 0 0 0";
const net1 = "net1:1308236767 57546 0 0 0 0 0 0 4496282 45390 0 0 0 0 0 0";
const route = (name: string): string =>
  `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n${name}\t00000000\t0100F40A\t0003\t0\t0\t0\t00000000\n`;

describe("a pod's interfaces", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(() => {
    folder.remove();
  });
  const read = (lines: string[], routes?: string): ReturnType<typeof readNetwork> => {
    writeTree(folder.path, { "5/net/dev": `${[...heading, ...lines].join("\n")}\n` });
    if (routes !== undefined) writeTree(folder.path, { "5/net/route": routes });
    return readNetwork(5, 9n, folder.path(""));
  };

  it("have all counters, exact to the last bit, and no loopback among them", () => {
    const eth0Figures = {
      name: "eth0",
      rxBytes: 10n,
      rxPackets: 2n,
      rxErrors: 3n,
      rxDropped: 4n,
      txBytes: 18_446_744_073_709_551_615n,
      txPackets: 6n,
      txErrors: 7n,
      txDropped: 8n,
    };
    expect(read([lo, eth0])).to.deep.equal({
      atNs: 9n,
      interfaces: [eth0Figures],
      defaultInterface: eth0Figures,
    });
  });

  it("are led by the one with the default route, else eth0, else the first", () => {
    expect(read([lo, net1, eth0], route("net1"))?.defaultInterface?.name).to.equal("net1");
    expect(read([lo, net1, eth0], route("gone"))?.defaultInterface?.name).to.equal("net1");
    folder.remove();
    folder = tempFolder();
    expect(read([lo, net1, eth0])?.defaultInterface?.name).to.equal("eth0");
    expect(read([lo])).to.deep.equal({ atNs: 9n, interfaces: [], defaultInterface: undefined });
  });

  it("are not there when the process is gone", () => {
    expect(readNetwork(6, 9n, folder.path(""))).to.equal(undefined);
  });
});
