import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { logPathOf, readCriLog } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { passes } from "../support/pass-rule.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import type { SmallDisk } from "../support/small-disk.ts";

const polite = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

describe("a state folder", function () {
  this.timeout(120_000);
  let disk: SmallDisk;
  let node: TestNode;

  before(async () => {
    disk = mountSmallDisk({ mib: 4, inodes: 200 });
    node = await startNode({ args: [`--state-dir=${join(disk.path, "state")}`] });
    Object.assign(node, { stateDir: join(disk.path, "state") });
  });
  after(async () => {
    await node.close();
    disk.unmount();
  });

  /** New work is refused with the reason, old pods are stopped and removed, and it heals by itself. */
  async function refusesAndHeals(
    begin: () => void,
    end: () => void,
    code: string,
    words: RegExp,
  ): Promise<void> {
    const pod = await runPod(node);
    const containerId = await startContainer(node, pod, containerConfig(polite));
    await passes(node, async () => {
      begin();
      try {
        const refused = await rpcFailure(
          node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }),
        );
        expect(refused.details).to.match(words);
        expect(refused.code, refused.details).to.equal(code);
        expect(await shell(node, containerId, "echo here")).to.equal("here");
        await node.runtime.stopContainer({ containerId, timeout: 1n });
        await removePod(node, pod);
        const { items } = await node.runtime.listPodSandbox({ filter: { id: pod.podSandboxId } });
        expect(items).to.deep.equal([]);
      } finally {
        end();
      }
      await removePod(node, await runPod(node));
    });
  }

  it("F26: without a free block refuses new pods, stops and removes old ones, and heals", async () => {
    await refusesAndHeals(
      () => disk.fill(),
      () => disk.empty(),
      "RESOURCE_EXHAUSTED",
      /ENOSPC|no space/i,
    );
  });

  it("F26: without a free inode does the same", async () => {
    await refusesAndHeals(
      () => disk.fill("inodes"),
      () => disk.empty(),
      "RESOURCE_EXHAUSTED",
      /ENOSPC|no space/i,
    );
  });

  it("F27: that became read-only does the same", async () => {
    await refusesAndHeals(
      () => disk.readOnly(true),
      () => disk.readOnly(false),
      "INTERNAL",
      /EROFS|read-only/i,
    );
  });
});

describe("Docker's own disk", function () {
  this.timeout(180_000);
  let disk: SmallDisk | undefined;
  let engine: PrivateEngine;
  let node: TestNode;

  before(async () => {
    engine = await startPrivateEngine([], {}, undefined, (path) => {
      disk = mountSmallDisk({ mib: 160, path });
    });
    node = await startNode({ upstream: engine.socketPath });
  });
  after(async () => {
    await node.close();
    await engine.remove();
    disk?.unmount();
  });

  it("F26: when it is full, creates fail and say so, stop and remove work, and it heals", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig(polite));
    await passes(node, async () => {
      disk?.fill();
      try {
        const config = hostSandboxConfig(node);
        const refused = await rpcFailure(node.runtime.runPodSandbox({ config }));
        expect(refused.details).to.match(/no space/i);
        const late = containerConfig("true", { metadata: { name: "late" } });
        expect((await rpcFailure(createContainer(node, pod, late))).details).to.match(/no space/i);
        await node.runtime.stopContainer({ containerId, timeout: 1n });
        await removePod(node, pod);
      } finally {
        disk?.empty();
      }
      await removePod(node, await runPod(node, hostSandboxConfig(node)));
    });
  });
});

describe("the folder of container logs", function () {
  this.timeout(120_000);
  let disk: SmallDisk;
  let node: TestNode;

  before(async () => {
    disk = mountSmallDisk({ mib: 4 });
    node = await startNode();
    mkdirSync(join(disk.path, "pods"));
    Object.assign(node, { logDir: join(disk.path, "pods") });
  });
  after(async () => {
    await node.close();
    disk.unmount();
  });

  it("F26: when its disk is full, containers run on and stop, and no line of them is lost", async () => {
    const pod = await runPod(node);
    const config = containerConfig("at=0; while :; do echo $at; at=$((at + 1)); sleep 0.05; done");
    const containerId = await startContainer(node, pod, config);
    const ended = containerConfig(polite, { metadata: { name: "ended" } });
    const endedId = await startContainer(node, pod, ended);
    const numbers = (): number[] =>
      readCriLog(logPathOf(pod, config)).map(({ text }) => Number(text));
    await until(() => existsSync(logPathOf(pod, config)) && numbers().length > 10);
    await passes(node, async () => {
      disk.fill();
      try {
        expect(await shell(node, containerId, "echo here")).to.equal("here");
        await node.runtime.stopContainer({ containerId: endedId, timeout: 2n });
        await node.runtime.removeContainer({ containerId: endedId });
        const refused = await rpcFailure(
          startContainer(node, pod, containerConfig("true", { metadata: { name: "late" } })),
        );
        expect(refused.details).to.match(/ENOSPC|no space/i);
        expect(refused.code, refused.details).to.equal("RESOURCE_EXHAUSTED");
        // More than the file system had left to give: the pump waits.
        await new Promise((resolve) => setTimeout(resolve, 3000));
      } finally {
        disk.empty();
      }
      const written = numbers().length;
      await until(() => numbers().length > written + 100, 15_000, "the log goes on");
      expect(numbers()).to.deep.equal(numbers().map((_, at) => at));
    });
  });
});
