import { existsSync } from "node:fs";
import { expect } from "chai";
import { ensureEngine } from "../../scripts/dockerd.ts";
import type { StartedEngine } from "../../scripts/dockerd.ts";
import { until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { idle, sh, staticPod, startKubeletApi } from "./rig.ts";
import type { KubeletApi } from "./rig.ts";

/** A node that boots: nobody says in which order kubelet, Dockline and Docker come up. */
describe("a kubelet that is started before Docker", function () {
  this.timeout(300_000);
  const temp = tempFolder();
  let engine: StartedEngine | undefined;
  let node: TestNode | undefined;
  let kubelet: KubeletApi | undefined;

  const startEngine = (): Promise<StartedEngine> => {
    const program = process.env["DOCKLINE_TEST_DOCKERD"];
    return ensureEngine(temp.path("s"), {
      logFile: temp.path("log"),
      ...(program === undefined ? {} : { program }),
      args: [
        `--data-root=${temp.path("root")}`,
        `--exec-root=${temp.path("exec")}`,
        `--pidfile=${temp.path("pid")}`,
        ...["--bridge=none", "--iptables=false", "--ip-forward=false"],
      ],
    });
  };

  after(async () => {
    kubelet?.stop();
    await node?.close();
    await engine?.stop();
    temp.remove();
  });

  it("runs its pods within 30 s of Docker's start, without help", async () => {
    engine = await startEngine();
    node = await startNode({
      upstream: temp.path("s"),
      // Straight to the engine: starting a kubelet holds this process, and the proxy in it.
      args: [`--docker-endpoint=unix://${temp.path("s")}`],
    });
    await node.runtime.version({});
    expect(await node.terminate()).to.equal(0);
    await engine.stop();

    const dockline = node.start();
    // Ready is what it cannot be yet.
    dockline.catch(() => undefined);
    const socket = node.endpoint.replace("unix://", "");
    await until("Dockline's socket is there", () => existsSync(socket));
    kubelet = startKubeletApi({ endpoint: node.endpoint, port: 10_470 });
    kubelet.addPod("early", staticPod("early", { containers: [sh("main", idle)] }));
    // Some rounds of the kubelet's without an engine.
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    expect((await kubelet.pod("early"))?.status.phase).to.not.equal("Running");

    engine = await startEngine();
    const begun = performance.now();
    const { status } = await kubelet.ready("early", 30_000);
    expect(status.containerStatuses?.[0]).to.include({ ready: true, restartCount: 0 });
    expect(performance.now() - begun).to.be.below(30_000);
  });
});
