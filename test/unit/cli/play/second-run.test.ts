import { expect } from "chai";
import { takeDown } from "../../../../src/cli/play/take-down.ts";
import { PodSandboxState } from "../../../../src/gen/runtime/v1/api_pb.js";
import { Stage, plan } from "./stage.ts";

describe("a pod that is played again", () => {
  let stage: Stage;
  beforeEach(() => (stage = new Stage()));
  afterEach(() => stage.stop.abort());

  it("changes nothing in a second run, init containers included", async () => {
    const pod = plan({ initContainers: [{ name: "a", image: "i:1" }] });
    stage.cri.onStart = (container) => {
      if (container.name === "a") stage.cri.end(container, 0);
    };
    stage.play(pod, { detach: true });
    await stage.clock.advance(1000);
    stage.changes();
    const again = stage.play(pod, { detach: true });
    await stage.clock.advance(1000);
    expect(again.code).to.equal(0);
    expect(stage.changes()).to.deep.equal([]);
    expect(stage.said.some((line) => line.includes("there already, unchanged"))).to.equal(true);
    // What has died meanwhile is restarted, with a log of its own.
    stage.cri.end(stage.cri.get("c"), 1);
    stage.play(pod, { detach: true });
    await stage.clock.advance(1000);
    expect(stage.changes()).to.deep.equal(["createContainer c/1", "startContainer c/1"]);
  });

  it("goes on where a play was killed: with the init container that has not run", async () => {
    const pod = plan({ initContainers: ["a", "b"].map((name) => ({ name, image: "i:1" })) });
    stage.cri.onStart = (container) => {
      if (container.name === "a") stage.cri.end(container, 0);
    };
    stage.play(pod);
    await stage.clock.advance(1000);
    stage.stop.abort();
    await stage.clock.advance(1000);
    stage.changes();
    const next = new Stage();
    next.cri.sandboxes.push(...stage.cri.sandboxes);
    next.cri.containers.push(...stage.cri.containers);
    next.play(pod);
    next.cri.end(next.cri.get("b"), 0);
    await next.clock.advance(1000);
    expect(next.changes()).to.deep.equal(["createContainer c/0", "startContainer c/0"]);
    next.stop.abort();
  });

  it("runs a pod again that has ended, or whose sandbox has", async () => {
    const pod = plan({ restartPolicy: "Never" });
    stage.cri.onStart = (container) => stage.cri.end(container, 3);
    for (const end of ["containers", "sandbox"]) {
      const played = stage.play(pod);
      await stage.clock.advance(1000);
      expect(played.code, end).to.equal(3);
      for (const sandbox of stage.cri.sandboxes) sandbox.state = PodSandboxState.SANDBOX_NOTREADY;
    }
    expect(stage.changes().filter((change) => /PodSandbox/.test(change))).to.deep.equal([
      "runPodSandbox p",
      ...["stopPodSandbox pod1", "removePodSandbox pod1", "runPodSandbox p"],
    ]);
  });

  it("ends what runs from another manifest only with --replace", async () => {
    stage.play(plan({}), { detach: true });
    await stage.clock.advance(1000);
    stage.changes();
    const other = plan({}, { args: ["x"] });
    const refused = stage.play(other);
    await stage.clock.advance(1000);
    expect(String(refused.error)).to.contain("--replace");
    expect(stage.changes()).to.deep.equal([]);
    stage.play(other, { replace: true });
    await stage.clock.advance(1000);
    expect(stage.changes()).to.deep.equal([
      ...["stopContainer c/0 30", "stopPodSandbox pod1", "removePodSandbox pod1"],
      ...["runPodSandbox p", "createContainer c/0", "startContainer c/0"],
    ]);
  });

  it("does not restart what --down ends in another terminal", async () => {
    const pod = plan({});
    const played = stage.play(pod);
    await stage.clock.advance(1000);
    stage.isDown = true;
    const down = takeDown(stage.services, pod);
    await stage.clock.advance(1000);
    expect(await down).to.equal(1);
    expect(String(played.error)).to.contain("stopped by somebody else");
    expect(stage.changes()).to.not.include("createContainer c/1");
  });
});
