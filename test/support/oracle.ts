import { expect } from "chai";
import type { TestNode } from "./node.ts";
import { docker, engineObjects, nodeState } from "./node-state.ts";
import type { NodeState } from "./node-state.ts";

export { nodeState };
export type { NodeState };

/** The test that runs; an attempt that fails is not asked for its leftovers as well. */
let current: Mocha.Test | undefined;
beforeEach(function () {
  current = this.currentTest;
});

/** For each test of the suite that calls it: what it makes on this node goes with it. */
export function leavesNothing(node: () => TestNode): void {
  let start: NodeState;
  beforeEach(() => {
    start = nodeState(node());
  });
  afterEach(async () => {
    await expectNothingLeft(node(), start);
  });
}

/**
 * Compares with the state at the test's start; what is on its way out gets some seconds. After an
 * attempt that failed the node is swept instead, so that the next attempt starts from a clean one.
 */
export async function expectNothingLeft(node: TestNode, before: NodeState): Promise<void> {
  // Only a body that has ended has a duration: inside of one the comparison is part of the test.
  if (current?.duration !== undefined && current.state !== "passed") {
    await sweep(node, before);
    return;
  }
  for (let attempt = 0; ; attempt += 1) {
    try {
      const now = nodeState(node);
      // Others of the machine may come and go; what this node makes is in its log.
      now.netns = now.netns.filter((name) => node.log().includes(`/netns/${name}"`));
      const netns = before.netns.filter((name) => now.netns.includes(name));
      // State that was being written at the start is written since, its folder included.
      const files = before.files.filter(
        (name) =>
          !(name.endsWith(".tmp") || name.startsWith(node.stateDir)) || now.files.includes(name),
      );
      expect(sorted(now)).to.deep.equal(sorted({ ...before, netns, files }));
      return;
    } catch (error) {
      if (attempt >= 80) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

async function sweep(node: TestNode, before: NodeState): Promise<void> {
  try {
    if (node.pid === 0) await node.start();
    for (const { id: podSandboxId } of (await node.runtime.listPodSandbox({})).items) {
      // A pod of the whole file stays.
      if (before.containers.some((object) => object.includes(podSandboxId))) continue;
      await node.runtime.stopPodSandbox({ podSandboxId });
      await node.runtime.removePodSandbox({ podSandboxId });
    }
  } catch {
    // Whatever is broken is what the test says; the containers go all the same.
  }
  for (const line of engineObjects(node.upstream).filter(
    (object) => !before.containers.includes(object),
  )) {
    const [kind, id = ""] = line.split(" ");
    try {
      docker(
        node.upstream,
        ...(kind === "volume" ? ["volume", "rm", "-f", id] : ["rm", "-fv", id]),
      );
    } catch {
      // Gone meanwhile.
    }
  }
}

function sorted(state: NodeState): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => [key, [...(value as string[])].sort()]),
  );
}
