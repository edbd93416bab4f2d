import { expect } from "chai";
import {
  encodeStatus,
  exitStatus,
  failureStatus,
  successStatus,
} from "../../../src/streaming/status.ts";

const json = (status: Parameters<typeof encodeStatus>[0]): unknown =>
  JSON.parse(encodeStatus(status, "json").toString());

describe("the status of a session", () => {
  it("is Success for exit code 0", () => {
    expect(json(exitStatus(0))).to.deep.equal({ status: "Success" });
    expect(json(successStatus)).to.deep.equal({ status: "Success" });
  });

  it("has the exit code as client-go looks for it", () => {
    for (const code of [1, 2, 126, 137, 255]) {
      expect(json(exitStatus(code))).to.deep.equal({
        status: "Failure",
        reason: "NonZeroExitCode",
        message: `command terminated with non-zero exit code: exit status ${code}`,
        details: { causes: [{ reason: "ExitCode", message: String(code) }] },
      });
    }
  });

  it("is an internal error for everything else", () => {
    expect(json(failureStatus("docker is gone"))).to.deep.equal({
      status: "Failure",
      reason: "InternalError",
      message: "Internal error occurred: docker is gone",
      code: 500,
    });
  });

  it("is plain text before v4, and nothing for a success", () => {
    expect(encodeStatus(successStatus, "text")).to.have.length(0);
    expect(encodeStatus(exitStatus(3), "text").toString()).to.contain("exit status 3");
  });
});
