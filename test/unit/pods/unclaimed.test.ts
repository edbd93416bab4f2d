import { expect } from "chai";
import { abandonedMsOf } from "../../../src/pods/unclaimed.ts";

describe("the time that a pod without a caller waits", () => {
  it("is two minutes where nothing sensible was asked for", () => {
    expect(abandonedMsOf("1500")).to.equal(1500);
    for (const asked of [undefined, "", "soon", "0", "-5", "Infinity", "1e10"]) {
      expect(abandonedMsOf(asked), asked).to.equal(120_000);
    }
  });
});
