import { expect } from "chai";
import { collect, releasePod } from "../../../src/cli/release.ts";
import { PodSandboxState } from "../../../src/gen/runtime/v1/api_pb.js";

describe("dockline release", () => {
  it("stops what owes a DEL, and never a healthy pod of the same name", async () => {
    const metadata = { namespace: "shop", name: "web" };
    const [ready, dead] = ["a".repeat(64), "b".repeat(64)];
    const stopped: string[] = [];
    const runtime = {
      listPodSandbox: () =>
        Promise.resolve({
          items: [
            { id: ready, metadata, state: PodSandboxState.SANDBOX_READY },
            { id: dead, metadata, state: PodSandboxState.SANDBOX_NOTREADY },
          ],
        }),
      podSandboxStatus: () =>
        Promise.resolve({ info: { info: JSON.stringify({ delFailure: "not now" }) } }),
      stopPodSandbox: ({ podSandboxId }: { podSandboxId: string }) =>
        Promise.resolve(void stopped.push(podSandboxId)),
    };
    let text = "";
    const code = await releasePod(runtime as never, "shop/web", true, (more) => (text += more));
    expect(code).to.equal(0);
    expect(stopped).to.deep.equal([dead]);
    expect(text).to.include("shop/web (aaaaaaaaaaaa): nothing is owed");
  });

  it("asks the server for CNI GC", async () => {
    const asked: unknown[] = [];
    const runtime = {
      updateRuntimeConfig: (request: object, options: { metadata?: object }) =>
        Promise.resolve(void asked.push(request, options.metadata)),
    };
    let text = "";
    expect(await collect(runtime as never, (more) => (text += more))).to.equal(0);
    expect(asked).to.deep.equal([{}, { "dockline-network-gc": "true" }]);
    expect(text).to.include("belongs to no pod");
  });
});
