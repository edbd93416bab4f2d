import { expect } from "chai";
import { addPod, rig } from "./rig.ts";

describe("the container index", () => {
  it("shows what was there before it started, with nanoseconds", async () => {
    const { index, docker, clock } = await rig();
    const { sandboxId, containerId } = addPod(docker, "a");
    await clock.advance(50);
    const sandboxes = await index.sandboxes();
    const containers = await index.containers();
    expect(sandboxes.map((entry) => entry.id)).to.deep.equal([sandboxId]);
    expect(containers.map((entry) => entry.id)).to.deep.equal([containerId]);
    expect(containers[0]?.createdAtNs).to.equal(docker.containers.get(containerId)?.createdAtNs);
    expect(containers[0]?.dirty).to.equal(false);
    await index.close();
    expect(clock.sleeping).to.equal(0);
  });
});
