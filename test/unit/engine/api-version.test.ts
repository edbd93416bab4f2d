import { expect } from "chai";
import { chooseApiVersion, isVersionRefusal } from "../../../src/engine/api-version.ts";
import { EngineError } from "../../../src/engine/errors.ts";

describe("chooseApiVersion", () => {
  it("speaks the engine's newest, up to the newest known here", () => {
    expect(chooseApiVersion("1.41")).to.deep.equal([1, 41]);
    expect(chooseApiVersion("1.47")).to.deep.equal([1, 47]);
    expect(chooseApiVersion("1.56")).to.deep.equal([1, 56]);
    expect(chooseApiVersion("1.100")).to.deep.equal([1, 56]);
    expect(chooseApiVersion("2.0")).to.deep.equal([1, 56]);
  });

  it("refuses older engines and says what is needed", () => {
    for (const version of ["1.40", "1.9", "0.99"]) {
      expect(() => chooseApiVersion(version), version).to.throw(
        EngineError,
        /too old, 1\.41 \(docker 20\.10\) or newer is needed/,
      );
    }
  });

  it("refuses what is no engine", () => {
    for (const version of [undefined, "", "1", "1.x", "v1.41", "1.41.2", "9".repeat(400)]) {
      expect(() => chooseApiVersion(version), String(version)).to.throw(
        EngineError,
        /not answer like/,
      );
    }
  });
});

describe("isVersionRefusal", () => {
  const error = (status: number, message: string): EngineError =>
    new EngineError({ failure: "status", status, operation: "x", message });

  it("knows both of Docker's texts, as a 400 only", () => {
    const tooNew = "x: client version 1.99 is too new. Maximum supported API version is 1.41";
    expect(isVersionRefusal(error(400, tooNew))).to.equal(true);
    expect(isVersionRefusal(error(400, "x: client version 1.41 is too old. Minimum"))).to.equal(
      true,
    );
    expect(isVersionRefusal(error(500, tooNew))).to.equal(false);
    expect(isVersionRefusal(error(400, "x: invalid filter"))).to.equal(false);
    expect(isVersionRefusal(new Error(tooNew))).to.equal(false);
  });
});
