import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { readIdentity } from "../../../src/convert/labels.ts";
import type { CallContext } from "../../../src/cri/bind.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { CreateContainerRequestSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
import { containerCreate } from "../../../src/rpc/container-create.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { modern } from "../convert/support.ts";

const failure = (status = 0): EngineError =>
  new EngineError({
    ...{ failure: status === 0 ? "timeout" : "status", status },
    ...{ operation: "create container", message: "failed" },
  });

/** A create whose answer is lost. Docker says afterwards that it has it, that it has not, or nothing. */
async function lostCreate(found: "there" | "none" | "silent", judging = false) {
  const steps: string[] = [];
  let labels: Record<string, string> | undefined;
  const sandbox = {
    ...{ id: "p", name: "k8s_POD_n_d_u_0", inspect: { HostConfig: {} } },
    state: { Running: true, Pid: 7 },
    identity: { kind: "podsandbox", runtimeHandler: "", extra: {} },
  };
  const image = { id: "sha256:i", inspected: true, inspect: { Os: "linux", Config: {} } };
  const deps = {
    log: silentLogger,
    clock: { monotonicMs: () => 0, sleep: () => Promise.resolve() },
    locks: new KeyedMutex(),
    facts: () => Promise.resolve(modern),
    records: { byId: () => undefined },
    sandboxes: { claim: () => undefined },
    hostPaths: {
      ofMounts: (mounts: unknown) => Promise.resolve(mounts),
      requireDevices: () => Promise.resolve(),
    },
    index: {
      find: () => Promise.resolve(sandbox),
      byName: () => Promise.resolve(undefined),
      mark: () => 0,
      observed: () => undefined,
      images: { peek: () => image },
    },
    hooks: {
      ...noHooks,
      judging,
      hide: () => void steps.push("hidden"),
      reveal: () => void steps.push("shown"),
      containerCreate: () => Promise.resolve(void steps.push("asked")),
    },
    engine: {
      createContainer: (_: string, body: { Labels: Record<string, string> }) => {
        labels = body.Labels;
        return Promise.reject(failure());
      },
      inspectContainer: () => {
        steps.push("looked for");
        if (found !== "there") return Promise.reject(failure(found === "none" ? 404 : 0));
        return Promise.resolve({ Id: "c", Config: { Labels: labels } });
      },
    },
  };
  const request = create(CreateContainerRequestSchema, {
    podSandboxId: "p",
    config: { metadata: { name: "n" }, image: { image: "i" } },
    sandboxConfig: { metadata: { name: "n", namespace: "d", uid: "u" } },
  });
  const context = { signal: new AbortController().signal } as CallContext;
  const outcome = await containerCreate(deps as never)
    .createContainer?.(request, context)
    .catch((error: unknown) => (error instanceof EngineError ? error.failure : String(error)));
  const name = "k8s_n_n_d_u_0";
  return { outcome, steps, nri: readIdentity({ name, labels: labels ?? null })?.extra.nri };
}

describe("CreateContainer whose answer from Docker is lost", () => {
  it("is hidden until Docker was asked whether there is one", async () => {
    expect(await lostCreate("there")).to.deep.equal({
      outcome: { containerId: "c" },
      steps: ["hidden", "looked for", "shown"],
      nri: undefined,
    });
    for (const found of ["none", "silent"] as const) {
      const { outcome, steps } = await lostCreate(found);
      expect(outcome).to.equal("timeout");
      expect(steps).to.deep.equal(["hidden", "looked for", "shown"]);
    }
  });

  it("is marked and asked about where somebody could refuse it as it began", async () => {
    const { steps, nri } = await lostCreate("there", true);
    expect(nri).to.equal(true);
    expect(steps).to.deep.equal(["hidden", "looked for", "hidden", "asked"]);
  });
});
