import { expect } from "chai";
import { ContainerState } from "../../../../src/gen/runtime/v1/api_pb.js";
import type { FakeCri } from "../../../support/fake-cri.ts";
import { takeDown } from "../../../../src/cli/play/take-down.ts";
import { callError } from "../../../support/fake-cri.ts";
import { Stage, bad, good, plan } from "./stage.ts";

describe("a played pod", () => {
  let stage: Stage;
  beforeEach(() => (stage = new Stage()));
  afterEach(() => stage.stop.abort());
  const { CONTAINER_RUNNING } = ContainerState;

  it("ends with the exit code of its first container that failed", async () => {
    stage.cri.onStart = (container) => stage.cri.end(container, container.name === "c" ? 0 : 3);
    const played = stage.play(
      plan(
        { restartPolicy: "Never" },
        {},
        { name: "d", image: "i:1" },
        { name: "e", image: "i:1" },
      ),
    );
    await stage.clock.advance(1000);
    expect(played).to.include({ code: 3, error: undefined });
    expect(stage.said).to.include.members([
      "d: ended with 3",
      "pod default/p has ended with 3; --down removes it",
    ]);
  });

  it("restarts by OnFailure at once, then later and later, and keeps the last dead container", async () => {
    const codes = [1, 1, 1, 0];
    stage.cri.onStart = (container) => stage.cri.end(container, codes[container.attempt] ?? 9);
    const played = stage.play(plan({ restartPolicy: "OnFailure" }));
    await stage.clock.advance(1000);
    expect(stage.cri.get("c").attempt).to.equal(1);
    await stage.clock.advance(8000);
    expect(stage.cri.get("c").attempt).to.equal(1);
    await stage.clock.advance(2000);
    expect(stage.cri.get("c")).to.include({ attempt: 2, logPath: "c/2.log" });
    await stage.clock.advance(17_000);
    expect(stage.cri.get("c").attempt).to.equal(2);
    await stage.clock.advance(4000);
    expect(played.code).to.equal(0);
    expect(stage.changes().slice(1)).to.deep.equal([
      ...["createContainer c/0", "startContainer c/0", "createContainer c/1", "startContainer c/1"],
      ...["createContainer c/2", "removeContainer c/0", "startContainer c/2"],
      ...["createContainer c/3", "removeContainer c/1", "startContainer c/3"],
    ]);
  });

  it("restarts by Always whatever the exit code was, and at once again after a long run", async () => {
    stage.play(plan({}));
    await stage.clock.advance(1000);
    for (const attempt of [1, 2, 3]) {
      await stage.clock.advance(601_000);
      stage.cri.end(stage.cri.get("c"), 0);
      await stage.clock.advance(1000);
      expect(stage.cri.get("c")).to.include({ attempt, state: CONTAINER_RUNNING });
    }
  });

  it("runs init containers in order, and nothing after one that failed", async () => {
    const spec = { initContainers: ["a", "b"].map((name) => ({ name, image: "i:1" })) };
    stage.cri.onStart = ({ name }) => {
      if (name === "a") stage.cri.end(stage.cri.get("a"), 0);
      if (name === "b") stage.cri.end(stage.cri.get("b"), 4);
    };
    const played = stage.play(plan({ ...spec, restartPolicy: "Never" }));
    await stage.clock.advance(1000);
    expect(played.code).to.equal(4);
    expect(stage.changes().filter((change) => change.startsWith("start"))).to.deep.equal([
      "startContainer a/0",
      "startContainer b/0",
    ]);
  });

  it("gates by a sidecar's startup probe, and ends sidecars with the pod", async () => {
    const sidecar = {
      name: "s",
      image: "i:1",
      restartPolicy: "Always",
      startupProbe: { exec: { command: ["x"] }, periodSeconds: 1, failureThreshold: 100 },
    };
    let isUp = false;
    stage.probe = () => (isUp ? good : bad);
    const pod = plan({
      initContainers: [sidecar],
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 7,
    });
    const played = stage.play(pod);
    await stage.clock.advance(5000);
    expect(stage.cri.containers.map(({ name }) => name)).to.deep.equal(["s"]);
    isUp = true;
    await stage.clock.advance(2000);
    expect(stage.cri.get("c").state).to.equal(CONTAINER_RUNNING);
    stage.cri.end(stage.cri.get("c"), 0);
    await stage.clock.advance(1000);
    expect(played.code).to.equal(0);
    expect(stage.changes().at(-1)).to.equal("stopContainer s/0 7");
    expect(stage.cri.get("s").attempt).to.equal(0);
  });

  it("shows readiness, and stops and restarts what its liveness probe finds dead", async () => {
    const container = {
      livenessProbe: {
        httpGet: { port: 80 },
        periodSeconds: 1,
        failureThreshold: 3,
        terminationGracePeriodSeconds: 2,
      },
      readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1, failureThreshold: 1 },
    };
    const found = { tcp: good, http: good, exec: good };
    stage.probe = ({ kind }) => found[kind];
    stage.play(plan({}, container));
    await stage.clock.advance(3500);
    expect(stage.said).to.include("c: ready");
    found.tcp = bad;
    await stage.clock.advance(1000);
    expect(stage.said.at(-1)).to.equal("c: not ready: no");
    // Two failures and a success are none; an unknown outcome is neither.
    for (const http of [bad, bad, good, bad, bad, { outcome: "unknown", text: "" } as const]) {
      found.http = http;
      await stage.clock.advance(1000);
    }
    expect(stage.cri.get("c").attempt).to.equal(0);
    found.http = bad;
    await stage.clock.advance(1000);
    expect(stage.changes()).to.include("stopContainer c/0 2");
    found.http = good;
    await stage.clock.advance(1000);
    expect(stage.cri.get("c")).to.include({ attempt: 1, state: CONTAINER_RUNNING });
    expect(stage.said).to.include(
      "c: the liveness probe has failed (no), the container is stopped",
    );
  });

  it("returns with --detach when it is ready, and not before", async () => {
    let isUp = false;
    stage.probe = () => (isUp ? good : bad);
    const probe = { exec: { command: ["x"] }, periodSeconds: 1 };
    const played = stage.play(plan({}, { readinessProbe: probe }), { detach: true });
    await stage.clock.advance(10_000);
    expect(played.code).to.equal(undefined);
    isUp = true;
    await stage.clock.advance(1000);
    expect(played.code).to.equal(0);
    expect(stage.said.at(-1)).to.equal(
      "pod default/p runs on; nobody restarts its containers until it is played again",
    );
  });

  it("runs hooks: a failed postStart ends the container, preStop has part of the grace period", async () => {
    const asked: string[] = [];
    stage.probe = (action) => {
      if (action.kind !== "exec") return bad;
      asked.push(action.command.join(" "));
      return action.command[0] === "start" && asked.length === 1 ? bad : good;
    };
    const lifecycle = {
      postStart: { exec: { command: ["start"] } },
      preStop: { sleep: { seconds: 4 } },
    };
    const pod = plan({ terminationGracePeriodSeconds: 10 }, { lifecycle });
    stage.play(pod);
    await stage.clock.advance(6000);
    expect(stage.said).to.include("c: its postStart hook has failed (no), it is stopped");
    expect(stage.changes().slice(-3)).to.deep.equal([
      ...["stopContainer c/0 6", "createContainer c/1", "startContainer c/1"],
    ]);
    expect(stage.cri.get("c").state).to.equal(CONTAINER_RUNNING);
    stage.isDown = true;
    const down = takeDown(stage.services, pod);
    await stage.clock.advance(5000);
    await down;
    expect(stage.changes()[0]).to.equal("stopContainer c/1 6");
  });

  it("gives variables and arguments with the pod's address", async () => {
    stage.play(
      plan(
        {},
        {
          env: [
            { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "URL", value: "http://$(IP)/$(NONE)/$$(IP)" },
          ],
          args: ["$(URL)", "$HOME"],
        },
      ),
    );
    await stage.clock.advance(1000);
    const url = "http://10.1.2.3/$(NONE)/$(IP)";
    expect(stage.cri.get("c").envs).to.deep.equal({ IP: "10.1.2.3", URL: url });
    expect(stage.cri.get("c").args).to.deep.equal([url, "$HOME"]);
  });

  it("leaves a pod that cannot be started for a look, and says how to remove it", async () => {
    stage.cri.failures.set("startContainer", callError(13, "start container: no such program"));
    const played = stage.play(plan({}));
    await stage.clock.advance(1000);
    expect(played.error).to.be.instanceOf(Error);
    expect(stage.said.at(-1)).to.contain("--down removes it");
    expect(stage.cri.sandboxes).to.have.length(1);
  });

  it("makes no folder and no pod when an image cannot be had", async () => {
    stage.cri.image = undefined;
    stage.cri.failures.set("pullImage", callError(5, "no such image"));
    const played = stage.play(plan({}));
    await stage.clock.advance(1000);
    expect(played.error).to.be.instanceOf(Error);
    expect(stage.changes()).to.deep.equal(["pullImage i:1"]);
    expect(stage.hasFolders).to.equal(false);
    expect(stage.said).to.deep.equal(["pulling i:1"]);
  });

  it("refuses to run as root where runAsNonRoot says so", async () => {
    const cases: [FakeCri["image"], object, boolean][] = [
      [{ id: "i", uid: { value: 0n } }, {}, false],
      [{ id: "i" }, {}, false],
      [{ id: "i", username: "app" }, {}, false],
      [{ id: "i", uid: { value: 5n } }, {}, true],
      [{ id: "i", uid: { value: 0n } }, { runAsUser: 5 }, true],
      [{ id: "i", uid: { value: 5n } }, { runAsUser: 0 }, false],
      [{ id: "i", uid: { value: 0n } }, { runAsNonRoot: false }, true],
    ];
    for (const [image, securityContext, runs] of cases) {
      const own = new Stage();
      own.cri.image = image;
      const played = own.play(
        plan({ securityContext: { runAsNonRoot: true } }, { securityContext }),
      );
      await own.clock.advance(1000);
      const what = JSON.stringify([image?.uid?.value.toString(), securityContext]);
      expect(played.error === undefined, what).to.equal(runs);
      if (!runs) expect(String(played.error), what).to.contain("runAsNonRoot");
      own.stop.abort();
    }
  });

  it("waits for a server that restarts, and goes on", async () => {
    const played = stage.play(plan({ restartPolicy: "Never" }));
    await stage.clock.advance(1000);
    stage.cri.failures.set("containerStatus", callError(14, "Connection dropped"));
    await stage.clock.advance(1000);
    expect(stage.said).to.include("c: the server does not answer, waiting for it");
    stage.cri.end(stage.cri.get("c"), 0);
    await stage.clock.advance(1000);
    expect(played.code).to.equal(0);
  });

  it("is left as it is by Ctrl-C", async () => {
    const played = stage.play(plan({ restartPolicy: "Never" }));
    await stage.clock.advance(1000);
    stage.changes();
    stage.stop.abort();
    await stage.clock.advance(1000);
    expect(played).to.include({ code: 0, error: undefined });
    expect(stage.changes()).to.deep.equal([]);
    expect(stage.said.at(-1)).to.equal("pod default/p runs on; --down removes it");
  });
});
