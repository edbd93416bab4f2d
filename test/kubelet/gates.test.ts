import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { errorLines } from "./error-lines.ts";
import { identities, startKubeletNode } from "./kubelet-node.ts";
import type { KubeletNode } from "./kubelet-node.ts";
import { idle, sh, sleep, staticPod, within } from "./rig.ts";

function metric(text: string, name: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

describe("a kubelet with EventedPLEG and CRIListStreaming", function () {
  this.timeout(120_000);
  let rig: KubeletNode;

  before(async function () {
    this.timeout(600_000);
    rig = await startKubeletNode({
      port: 10_410,
      settings: ["featureGates:{EventedPLEG: true, CRIListStreaming: true}"],
    });
    for (const name of ["one", "two"]) {
      rig.kubelet.addPod(name, staticPod(name, { containers: [sh("main", idle)] }));
    }
  });
  after(async function () {
    this.timeout(60_000);
    await rig.close();
  });

  it("runs pods from events and streamed lists, and sees a death between two relists", async () => {
    const { kubelet, node } = rig;
    await kubelet.ready("one");
    await kubelet.ready("two");
    const before = await kubelet.container("one", "main");
    await node.docker.killContainer(before?.containerID?.replace("docker://", "") ?? "", "KILL");
    // With EventedPLEG a relist comes every five minutes: only an event can tell in time.
    const after = await within(20_000, "restart after a kill", async () => {
      const found = await kubelet.container("one", "main");
      return found?.restartCount === 1 && found.state.running ? found : undefined;
    });
    expect(after.lastState.terminated?.exitCode).to.equal(137);
    const metrics = await kubelet.metrics();
    expect(metric(metrics, "kubelet_evented_pleg_connection_success_count")).to.be.at.least(1);
    expect(metric(metrics, "kubelet_evented_pleg_connection_error_count")).to.equal(0);
    // The back-off after a death is logged at error level as well.
    const errors = errorLines(kubelet.log()).filter((line) => !line.includes("CrashLoopBackOff"));
    expect(errors).to.deep.equal([]);
  });

  it("reconnects to a Dockline that ended or was killed, restarts nothing, and goes on", async () => {
    const { kubelet, node } = rig;
    const look = async (): Promise<Record<string, string>> => {
      const pods = await Promise.all([kubelet.pod("one"), kubelet.pod("two")]);
      return identities(pods.filter((pod) => pod !== undefined));
    };
    await kubelet.ready("one");
    const before = await look();
    const deaths: (() => Promise<unknown>)[] = [() => node.terminate(), () => node.kill()];
    for (const die of deaths) {
      await die();
      await sleep(1_000);
      await node.start();
      await sleep(6_000);
      expect(await look()).to.deep.equal(before);
    }
    kubelet.removePod("two");
    await within(30_000, "end of the second pod", async () => {
      const { items } = await node.runtime.listPodSandbox({});
      const left = items.filter(
        ({ metadata, state }) =>
          metadata?.name === "two-127.0.0.1" && state === PodSandboxState.SANDBOX_READY,
      );
      return left.length === 0 ? true : undefined;
    });
  });
});
