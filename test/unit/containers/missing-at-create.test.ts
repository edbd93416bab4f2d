import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import { missingAtCreate } from "../../../src/containers/missing-at-create.ts";

describe("what Docker's create misses", () => {
  const of = { image: "busybox", podSandboxId: "p".repeat(64), targetId: "", mounts: [], made: [] };
  const said = (status: number, message: string) =>
    missingAtCreate(
      new EngineError({ failure: "status", status, operation: "create container", message }),
      of,
    );

  for (const [status, message, kind, words] of [
    [400, "unknown or invalid runtime name: runsc", "FailedPrecondition", /no runtime runsc/],
    [400, "Unknown runtime specified runsc", "FailedPrecondition", /no runtime runsc/],
    [
      500,
      "Cannot mkdir: /etc/passwd is not a directory",
      "InvalidArgument",
      /^working_dir: "\/etc\/passwd" is no folder in the image busybox$/,
    ],
    [404, "get data: no such volume", "FailedPrecondition", /no such volume/],
    [404, "network backend not found", "FailedPrecondition", /network backend not found/],
    [404, "No such image: busybox:latest", "NotFound", /no image busybox on this node/],
  ] as const) {
    it(`is named: ${message}`, () => {
      const error = said(status, message);
      expect(error?.kind).to.equal(kind);
      expect(error?.message).to.match(words);
    });
  }

  it("is nothing when another part of the request is wrong", () => {
    expect(said(400, "invalid mount config")).to.equal(undefined);
    expect(said(500, "unknown runtime")).to.equal(undefined);
  });
});
