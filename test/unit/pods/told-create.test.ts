import { expect } from "chai";
import { kindOf } from "../../../src/cri/status.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { CriError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
import { createAndTell } from "../../../src/pods/told-create.ts";

const engineError = (failure: "status" | "timeout" | "unreachable", status = 0): EngineError =>
  new EngineError({ failure, status, operation: "create container", message: "failed" });

/** A create that fails in Docker, or is refused by a plugin and then not removed. */
async function createThat(fails: { create?: Error; remove?: Error }, hidden: Set<string>) {
  const refusal = new CriError("FailedPrecondition", "refused");
  const deps = {
    log: silentLogger,
    clock: { sleep: () => new Promise(() => undefined), monotonicMs: () => 0 },
    index: {
      peek: () => undefined,
      created: () => undefined,
      removed: () => undefined,
      touched: () => undefined,
    },
    engine: {
      createContainer: () =>
        fails.create === undefined ? Promise.resolve({ id: "c" }) : Promise.reject(fails.create),
      removeContainer: () =>
        fails.remove === undefined ? Promise.resolve() : Promise.reject(fails.remove),
    },
    hooks: {
      ...noHooks,
      active: true,
      hide: (name: string) => void hidden.add(name),
      reveal: (name: string) => void hidden.delete(name),
      isBeingMade: (name: string) => hidden.has(name),
      containerCreate: () => Promise.reject(refusal),
    },
  };
  const wanted = { name: "n", body: { Labels: {} } };
  return await createAndTell(deps as never, wanted as never).catch((error: unknown) =>
    error instanceof EngineError ? error.failure : kindOf(error),
  );
}

describe("a container's name while plugins are asked", () => {
  it("is shown after a create that failed, not after one whose answer was lost", async () => {
    const hidden = new Set<string>();
    expect(await createThat({ create: engineError("status", 500) }, hidden)).to.equal("status");
    expect([...hidden]).to.deep.equal([]);
    for (const failure of ["timeout", "unreachable"] as const) {
      expect(await createThat({ create: engineError(failure) }, hidden)).to.equal(failure);
      expect([...hidden]).to.deep.equal(["n"]);
      hidden.clear();
    }
  });

  it("is shown after a refusal once the container is gone, and stays hidden while it is there", async () => {
    const hidden = new Set<string>();
    expect(await createThat({}, hidden)).to.equal("FailedPrecondition");
    expect([...hidden]).to.deep.equal([]);
    const held = { remove: engineError("status", 500) };
    expect(await createThat(held, hidden)).to.equal("FailedPrecondition");
    expect([...hidden]).to.deep.equal(["n"]);
    expect(await createThat({ create: engineError("status", 409) }, hidden)).to.equal("status");
    expect([...hidden], "the name is still in use").to.deep.equal(["n"]);
  });
});
