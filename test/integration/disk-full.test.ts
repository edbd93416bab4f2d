import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";

describe("a state folder on a full disk", () => {
  let folder: string;
  let node: TestNode;
  const state = (): string => join(folder, "disk", "state");

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "dockline-disk-"));
    const image = join(folder, "image");
    execFileSync("truncate", ["-s", "4M", image]);
    execFileSync("mkfs.ext4", ["-q", image], {
      env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
    });
    mkdirSync(join(folder, "disk"));
    execFileSync("mount", ["-o", "loop", image, join(folder, "disk")]);
    node = await startNode({ args: [`--state-dir=${state()}`] });
  });
  after(async () => {
    await node.close();
    execFileSync("umount", [join(folder, "disk")]);
    rmSync(folder, { recursive: true, force: true });
  });

  it("refuses new pods, still stops and removes old ones, and recovers by itself", async () => {
    const pod = await runPod(node, sandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const filler = join(folder, "disk", "filler");
    try {
      writeFileSync(filler, Buffer.alloc(8 << 20));
    } catch {
      // The write stops where the disk ends; so does this one, down to the last block.
    }
    execFileSync("sh", ["-c", `while echo x >> ${filler}; do :; done 2>/dev/null; true`]);

    const error = await rpcFailure(node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }));
    expect(error.code).to.equal("RESOURCE_EXHAUSTED");
    expect(error.details).to.match(/ENOSPC|no space/i);
    expect((await node.runtime.listPodSandbox({})).items.map(({ id }) => id)).to.deep.equal([
      pod.podSandboxId,
    ]);

    await node.runtime.stopContainer({ containerId, timeout: 0n });
    await removePod(node, pod);
    expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);

    rmSync(filler);
    const next = await runPod(node, sandboxConfig(node));
    await removePod(node, next);
  });
});
