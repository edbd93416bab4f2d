import { expect } from "chai";
import { workInfo } from "../../../src/daemon/verbose-info.ts";

describe("what crictl info shows of the running work", () => {
  it("is objects with numbers, which crictl prints as JSON", () => {
    const info = workInfo({
      pulls: [],
      logs: {
        containers: 1,
        bytesBehind: 2,
        lostBytes: 3n,
        pumpedBytes: 4n,
        unreadableLines: 5n,
        hung: [],
      },
      sessions: 6,
    });
    expect(JSON.parse(JSON.stringify(info))).to.deep.equal({
      pulls: { running: [] },
      logs: {
        ...{ containers: 1, bytesBehind: 2, hung: [] },
        ...{ lostBytes: 3, pumpedBytes: 4, unreadableLines: 5 },
      },
      streams: { open: 6 },
    });
  });
});
