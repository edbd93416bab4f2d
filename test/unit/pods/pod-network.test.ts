import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { PodSandboxState } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { Views } from "../../../src/rpc/views.ts";
import { SandboxModel, wantedPod } from "../../support/sandbox-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("the network of a pod", () => {
  const folder = tempFolder();
  after(folder.remove);
  let model: SandboxModel;
  beforeEach(() => (model = new SandboxModel(folder.path("docker"), 1e6)));

  /** What `work` ends with when every effect is done. */
  const drive = async <T>(work: Promise<T>): Promise<T> => {
    let ended = false;
    const outcome = work.finally(() => (ended = true));
    outcome.catch(() => undefined);
    while (!ended) {
      await turn();
      model.gates.shift()?.open("done");
    }
    return await outcome;
  };
  const run = async (pod = 0): Promise<string> => {
    const wanted = wantedPod(pod, 0);
    const { signal } = new AbortController();
    return await drive(
      model.sandboxes.of(wanted.name).bringTo("ready", wanted, { signal, log: silentLogger }),
    );
  };

  it("is asked for with the pod's cgroup and annotations as the kubelet sent them", async () => {
    await run();
    expect(model.asked).to.have.length(1);
    expect(model.asked[0]).to.deep.include({
      cgroupPath: "/kubepods/pod0",
      annotations: { "example.com/form": "0" },
    });
  });

  it("that went with a restart of the pause container: NOTREADY, without the dead address", async () => {
    const views = new Views({
      index: { onChange: () => undefined, images: {} },
      records: { byId: (id: string) => model.recordOf(id) },
    } as unknown as ConstructorParameters<typeof Views>[0]);
    const shown = async (id: string): Promise<[string | undefined, string | undefined]> => {
      const entry = (await model.sandboxes.find(id))!.found.entry!;
      const { state, network } = await views.podSandboxStatus(entry);
      expect(views.podSandbox(entry).state).to.equal(state);
      expect(views.podSandboxState(entry)).to.equal(state);
      return [PodSandboxState[state], network?.ip];
    };
    const [pod, host] = [await run(), await run(2)];
    const address = model.addresses.get(pod);
    expect(await shown(pod)).to.deep.equal(["SANDBOX_READY", address]);
    for (const id of [pod, host]) model.containers.get(id)!.restarts += 1;
    expect(await shown(pod)).to.deep.equal(["SANDBOX_NOTREADY", ""]);
    expect(await shown(host), "it has lost nothing").to.deep.equal(["SANDBOX_READY", ""]);
  });

  it("that went with a restart of the pause container: the next attempt makes a new one", async () => {
    const first = await run();
    expect(model.recordOf(first)).to.include({ netns: `/netns/${first}.0` });
    expect(await run(), "it serves").to.equal(first);
    model.containers.get(first)!.restarts += 1;
    const second = await run();
    expect(second).to.not.equal(first);
    expect([...model.addresses.keys()], "the old address is free").to.deep.equal([second]);
    expect(model.containers.has(first)).to.equal(false);
    // A pod in the host's network has lost nothing.
    const host = await run(2);
    model.containers.get(host)!.restarts += 1;
    expect(await run(2)).to.equal(host);
    expect(model.broken).to.deep.equal([]);
  });

  it("whose ADD fails is recorded so before DEL; when Dockline is killed in it, nobody knows", async () => {
    for (const [outcome, known] of [
      ["failed", true],
      ["done", undefined],
    ] as const) {
      model = new SandboxModel(folder.path("docker"), 1e6);
      const wanted = wantedPod(0, 0);
      const { signal } = new AbortController();
      const caller = { signal, log: silentLogger };
      const made = model.sandboxes.of(wanted.name).bringTo("ready", wanted, caller);
      made.catch(() => undefined);
      const openUntil = async (what: string): Promise<void> => {
        while (model.gates[0]?.what !== what) {
          model.gates.shift()?.open("done");
          await turn();
        }
      };
      await openUntil("ADD");
      if (outcome === "failed") model.gates.shift()?.open(outcome);
      else {
        model.kill();
        void model.start(1e6).settle();
      }
      await openUntil("DEL");
      const [record] = model.records;
      expect(record?.phase, outcome).to.equal("stopping");
      expect((record?.network as { addFailed?: boolean }).addFailed).to.equal(known);
      await drive(model.sandboxes.settle());
    }
  });
});
