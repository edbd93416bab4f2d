import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { podRules } from "../support/host-tables.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import type { TestNode } from "../support/node.ts";
import { createContainer, removePod, runPod, sandboxConfig } from "../support/pods.ts";
import type { SandboxInit } from "../support/pods.ts";
import { isAlive } from "../support/shims.ts";
import { until } from "../support/until.ts";
import {
  endPod,
  expectTakesMembers,
  expectWholeLog,
  expectWorks,
  makePod,
  processesOf,
  toldOf,
} from "./made-pods.ts";
import type { Kind, MadePod } from "./made-pods.ts";
import { startUpgradeNode } from "./upgrade-node.ts";
import type { UpgradeNode } from "./upgrade-node.ts";

// Pods of one package under the other one, both ways. Started by scripts/test-upgrade.sh.

describe("a node whose package is exchanged under its pods", function () {
  this.timeout(180_000);
  let upgrade: UpgradeNode;
  let atStart: NodeState;
  /** Made by the old package, and there until the end. */
  let survivors: MadePod[] = [];

  before(async () => {
    upgrade = await startUpgradeNode();
    atStart = nodeState(upgrade.node);
    if (!upgrade.hasUserns) console.log("      no runc here can do hostUsers: false");
  });
  after(async () => {
    await (upgrade as UpgradeNode | undefined)?.close();
  });

  const makePods = async (...more: Kind[]): Promise<MadePod[]> => {
    const inUserns: Kind[] = upgrade.hasUserns ? ["userns", ...more] : [];
    const kinds: Kind[] = ["host", "network", ...inUserns];
    return await Promise.all(kinds.map((kind) => makePod(upgrade.node, kind)));
  };

  /** RunPodSandbox, of which a kill leaves what there was at each of these places; the last kill stays. */
  const halfMade = async (places: readonly string[]): Promise<SandboxInit[]> => {
    const { node } = upgrade;
    const configs = places.map(() => sandboxConfig(node));
    for (const [at, place] of places.entries()) {
      if (node.pid === 0) await upgrade.start();
      await upgrade.killAt(place, () => runPod(node, configs[at]));
    }
    return configs;
  };

  /** A stop whose CNI DEL failed. */
  const halfStopped = async (): Promise<SandboxInit> => {
    const { node, plugins } = upgrade;
    const { podSandboxId, sandbox } = await runPod(node);
    plugins.failOn({ DEL: "error(not now)" });
    const stopped = await node.runtime.stopPodSandbox({ podSandboxId }).then(
      () => true,
      () => false,
    );
    expect(stopped, "stopped without its DEL").to.equal(false);
    plugins.failOn({});
    return sandbox;
  };

  for (const to of ["new", "old"] as const) {
    describe(to === "new" ? "after the upgrade" : "after going back", () => {
      let pods: MadePod[];
      let processes: object;
      let told: Awaited<ReturnType<typeof toldOf>>;
      let half: SandboxInit[];

      before(async () => {
        const { node, plugins } = upgrade;
        const made = await makePods(...(to === "old" ? ["low" as const] : []));
        // Whatever the first package made and the other one must not lose on the way to the first again.
        if (to === "new") survivors = await makePods();
        pods = [...survivors, ...made];
        half = [await halfStopped()];
        processes = await processesOf(node, pods);
        told = await toldOf(node, pods);
        half.push(
          // Once started again, the new one brings such pods to an end by itself.
          ...(await halfMade(
            to === "new"
              ? ["run.before-add", "run.after-add", "run.after-create"]
              : ["run.after-add"],
          )),
        );
        plugins.failOn({});
        await upgrade.change(to);
      });

      it("has restarted nothing, and says of all what was said before", async () => {
        const { node, plugins } = upgrade;
        expect(await processesOf(node, pods)).to.deep.equal(processes);
        const now = await toldOf(node, pods);
        expect([...now.keys()]).to.deep.equal([...told.keys()]);
        for (const [what, text] of told) expect(now.get(what), what).to.deep.equal(text);
        const ids = pods.map(({ pod }) => pod.podSandboxId);
        const calls = plugins.calls().filter(({ containerId }) => ids.includes(containerId));
        expect(calls, "no plugin was called for them").to.deep.equal([]);
        const records = readdirSync(join(node.stateDir, "sandboxes"));
        // With a dot before it: one that is being written just now.
        const others = records.filter((name) => !name.endsWith(".json") && !name.startsWith("."));
        expect(others).to.deep.equal([]);
        expect(node.log(), "each knows the other's files").to.not.match(
          /put aside|left alone|cannot be (used|read)/,
        );
      });

      it("goes on with each log where it was", async () => {
        await Promise.all(pods.map(expectWholeLog));
      });

      it("answers exec, port-forward, host ports, stats and resizes", async () => {
        for (const made of pods) await expectWorks(upgrade.node, made);
      });

      it("gives the same pods and containers to who asks for them again", async () => {
        const { node } = upgrade;
        for (const { pod, config, main } of pods) {
          const again = await runPod(node, pod.sandbox);
          expect(again.podSandboxId).to.equal(pod.podSandboxId);
          expect(await createContainer(node, pod, config)).to.equal(main);
        }
      });

      it("starts what was only created, and takes new members into each pod", async () => {
        // The old one refuses to start a container with such ids.
        const able = pods.filter(({ kind }) => kind !== "low");
        for (const made of able) await expectTakesMembers(upgrade.node, made);
      });

      it("ends what was partially created or stopped: no address stays, and each can be made again", async () => {
        const { node } = upgrade;
        const held = (): number => nodeState(node).addresses.length;
        const inUse = pods.filter(({ kind }) => kind !== "host").length;
        // By itself; its last release left that to the kubelet. A DEL that failed is the kubelet's in both.
        if (to === "new") await until(() => held() <= inUse + 1, 30_000, "addresses are free");
        const known = new Set(pods.map(({ pod }) => pod.podSandboxId));
        const { items } = await node.runtime.listPodSandbox({});
        const left = items.filter(({ id }) => !known.has(id));
        expect(left.map(({ metadata }) => metadata?.uid).sort()).to.deep.equal(
          half.map(({ metadata }) => metadata?.uid).sort(),
        );
        expect(left.map(({ state }) => state)).to.deep.equal(
          left.map(() => PodSandboxState.SANDBOX_NOTREADY),
        );
        for (const config of half) {
          const again = await runPod(node, config);
          expect(left.map(({ id }) => id)).to.not.include(again.podSandboxId);
          await removePod(node, again);
        }
        for (const { id } of left) await removePod(node, { podSandboxId: id });
        expect(held()).to.equal(inUse);
      });

      it("stops and removes: no process, address or rule is left", async () => {
        const { node } = upgrade;
        const gone = to === "new" ? pods.filter((made) => !survivors.includes(made)) : pods;
        const ids = gone.flatMap((made) => made.ids);
        const pids = await Promise.all(
          ids.map(async (id) => (await node.docker.inspectContainer(id)).State.Pid),
        );
        await Promise.all(gone.map((made) => endPod(node, made)));
        expect(pids.filter((pid) => pid !== 0 && isAlive(pid))).to.deep.equal([]);
        expect(podRules(gone.map(({ pod }) => pod.podSandboxId))).to.deep.equal([]);
        if (to === "new") await Promise.all(survivors.map(expectWholeLog));
        else {
          // An earlier release leaves the network namespaces that it does not know (docs/pod-network.md).
          removeOwnNetns(node);
          await expectNothingLeft(node, { ...atStart, files: nodeState(node).files });
        }
        expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
      });
    });
  }
});

/** What the next start of a newer release would collect. */
function removeOwnNetns(node: TestNode): void {
  const made = [...node.log().matchAll(/\/netns\/(dockline-[0-9a-f-]{36})"/g)];
  for (const name of new Set(made.map(([, one]) => one ?? ""))) {
    if (existsSync(`/var/run/netns/${name}`)) execFileSync("ip", ["netns", "del", name]);
  }
}
