import { expect } from "chai";
import { EngineError } from "../../src/engine/errors.ts";

/** The EngineError that `work` must fail with; anything else fails the test. */
export async function failureOf(work: Promise<unknown>): Promise<EngineError> {
  const error: unknown = await work.then(
    () => new Error("did not fail"),
    (e: unknown) => e,
  );
  expect(error).to.be.instanceOf(EngineError);
  return error as EngineError;
}
