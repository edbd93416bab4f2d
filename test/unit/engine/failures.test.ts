import { expect } from "chai";
import { toEngineError } from "../../../src/engine/failures.ts";

describe("what a request to Docker failed with", () => {
  it("is an absent engine for errors of the connection", () => {
    const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
    for (const error of [refused, new Error("socket hang up"), "text"]) {
      expect(toEngineError(error, "x").failure).to.equal("unreachable");
    }
  });

  it("is no absent engine for a defect of our own", () => {
    for (const error of [new TypeError("a.b is undefined"), new RangeError("too long")]) {
      const { failure, message } = toEngineError(error, "list images");
      expect(failure).to.equal("protocol");
      expect(message).to.match(/^list images: (a\.b|too)/);
    }
  });
});
