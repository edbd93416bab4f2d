import { readFileSync, renameSync } from "node:fs";
import { status as GrpcCode } from "@grpc/grpc-js";
import { expect } from "chai";
import { codeName, toStatusObject } from "../../../src/cri/status.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import type { EngineFailure } from "../../../src/engine/errors.ts";
import { CriError } from "../../../src/errors.ts";
import type { ErrorKind } from "../../../src/errors.ts";

const engine = (failure: EngineFailure, status = 0): EngineError =>
  new EngineError({ failure, status, operation: "x", message: "x: y" });

describe("the status of an error", () => {
  for (const [kind, code] of [
    ["NotFound", "NOT_FOUND"],
    ["InvalidArgument", "INVALID_ARGUMENT"],
    ["AlreadyExists", "ALREADY_EXISTS"],
    ["FailedPrecondition", "FAILED_PRECONDITION"],
    ["PermissionDenied", "PERMISSION_DENIED"],
    ["Unavailable", "UNAVAILABLE"],
    ["DeadlineExceeded", "DEADLINE_EXCEEDED"],
    ["Cancelled", "CANCELLED"],
    ["ResourceExhausted", "RESOURCE_EXHAUSTED"],
    ["Unimplemented", "UNIMPLEMENTED"],
    ["Unknown", "UNKNOWN"],
    ["Internal", "INTERNAL"],
  ] as [ErrorKind, string][]) {
    it(`of kind ${kind} is ${code}`, () => {
      expect(codeName(new CriError(kind, "x"))).to.equal(code);
    });
  }

  for (const [error, code] of [
    [engine("unreachable"), "UNAVAILABLE"],
    [engine("timeout"), "UNAVAILABLE"],
    [engine("busy"), "UNAVAILABLE"],
    [engine("aborted"), "CANCELLED"],
    [engine("protocol"), "INTERNAL"],
    [engine("status", 400), "INVALID_ARGUMENT"],
    [engine("status", 401), "PERMISSION_DENIED"],
    [engine("status", 403), "PERMISSION_DENIED"],
    [engine("status", 404), "NOT_FOUND"],
    [engine("status", 409), "FAILED_PRECONDITION"],
    [engine("status", 500), "INTERNAL"],
    [engine("status", 501), "UNIMPLEMENTED"],
    [engine("status", 502), "INTERNAL"],
    [engine("status", 503), "UNAVAILABLE"],
    [Object.assign(new Error("disk"), { code: "ENOSPC" }), "RESOURCE_EXHAUSTED"],
    [Object.assign(new Error("files"), { code: "EMFILE" }), "RESOURCE_EXHAUSTED"],
    [
      new Error("plugin", { cause: Object.assign(new Error("fork"), { code: "EAGAIN" }) }),
      "RESOURCE_EXHAUSTED",
    ],
    [new TypeError("a defect"), "INTERNAL"],
    ["a text", "INTERNAL"],
    [undefined, "INTERNAL"],
    [null, "INTERNAL"],
  ] as [unknown, string][]) {
    it(`of ${String(error)} ${(error as EngineError | undefined)?.status ?? ""} is ${code}`, () => {
      expect(codeName(error)).to.equal(code);
    });
  }

  for (const [fail, text] of [
    [() => readFileSync("/proc/none/x"), "Status: open /proc/none/x: no such file or directory"],
    [
      () => renameSync("/none/a", "/none/b"),
      "Status: rename /none/a to /none/b: no such file or directory",
    ],
    [() => readFileSync("/proc"), "Status: read: illegal operation on a directory"],
    [
      () => {
        throw new Error("connect ECONNREFUSED /run/x.sock");
      },
      "Status: connect /run/x.sock: connection refused",
    ],
    [
      () => {
        throw new Error("spawn /bin/none ENOENT");
      },
      "Status: spawn /bin/none: no such file or directory",
    ],
    [
      () => {
        throw new Error("connect to EAST");
      },
      "Status: connect to EAST",
    ],
  ] as const) {
    it(`says in words what a system call failed with: ${text}`, () => {
      try {
        fail();
      } catch (error) {
        expect(toStatusObject(error, "Status").details).to.equal(text);
        return;
      }
      throw new Error("nothing failed");
    });
  }

  it("has its words on one line, and not too many", () => {
    const { code, details } = toStatusObject(
      new CriError("NotFound", `a\n  b\r\n${"x".repeat(9999)}`),
      "ContainerStatus",
    );
    expect(code).to.equal(GrpcCode.NOT_FOUND);
    expect(details)
      .to.match(/^a b x+\.\.\.$/)
      .and.have.length(4096);
  });
});
