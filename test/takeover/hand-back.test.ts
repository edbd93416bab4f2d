import { lstatSync, readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { migrate } from "../../src/admin/migrate.ts";
import { parseCheckpoint } from "../../src/admin/checkpoint-file.ts";
import { Protocol } from "../../src/gen/runtime/v1/api_pb.js";
import { readLegacyCache } from "../../src/network/legacy-cache.ts";
import { engineSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import { freePort } from "../support/registry.ts";
import {
  containerConfig,
  removeAllPods,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { within } from "../kubelet/rig.ts";

/** Dockline's pods for cri-dockerd, and back: systemd's part is left out where systemd runs. */
describe("a node handed back to cri-dockerd", function () {
  this.timeout(90_000);
  let node: TestNode;
  let root: string;

  before(async () => {
    node = await startNode();
    root = join(node.folder, "cri-dockerd");
  });
  after(async () => {
    await node.close();
  });

  const run = async (...more: string[]): Promise<{ code: number; text: string }> => {
    let text = "";
    const code = await migrate(
      [
        ...[
          "--back",
          `--cri-dockerd-root-directory=${root}`,
          `--docker-endpoint=unix://${engineSocket}`,
        ],
        ...[`--state-dir=${node.stateDir}`, `--cni-conf-dir=${node.cniConfDir}`],
        ...[`--cni-cache-dir=${join(node.folder, "cni-cache")}`, ...more],
      ],
      (part) => (text += part),
    );
    return { code, text };
  };

  it("gets checkpoints, CNI results and log links, and takes them back without losing a line", async function () {
    // There it would act on the machine's own units.
    if (
      (() => {
        try {
          return statSync("/run/systemd/system").isDirectory();
        } catch {
          return false;
        }
      })()
    )
      this.skip();
    const before = nodeState(node);
    const hostPort = await freePort("0.0.0.0");
    const sandbox = sandboxConfig(node, {
      portMappings: [
        { protocol: Protocol.TCP, containerPort: 80, hostPort },
        { protocol: Protocol.UDP, containerPort: 53, hostPort: 0 },
      ],
    });
    const pod = await runPod(node, sandbox);
    const config = containerConfig("n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1; done");
    const containerId = await startContainer(node, pod, config);
    const log = join(sandbox.logDirectory ?? "", "main/0.log");
    const numbers = (): number[] =>
      readFileSync(log, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => Number(line.split(" ")[3]));
    await within(10_000, "lines", () => (numbers().length >= 5 ? true : undefined));

    const refused = await run("--apply");
    expect(refused.code).to.equal(1);
    expect(refused.text).to.contain("stop Dockline first");
    await node.terminate();
    const dry = await run();
    expect(dry.code, dry.text).to.equal(0);
    expect(readdirSync(node.folder)).to.not.include("cri-dockerd");

    const done = await run("--apply");
    expect(done.code, done.text).to.equal(0);
    const file = join(root, "sandbox", pod.podSandboxId);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect(parseCheckpoint(readFileSync(file, "utf8"))).to.deep.equal({
      name: sandbox.metadata?.name,
      namespace: "test",
      hostNetwork: false,
      checksumMatches: true,
      portMappings: [
        { protocol: "tcp", container_port: 80, host_port: hostPort },
        { protocol: "udp", container_port: 53, host_port: 0 },
      ],
    });
    const cache = join(node.folder, "cni-cache");
    const [entry] = await readLegacyCache(cache, pod.podSandboxId, "eth0");
    expect(entry?.networkName).to.equal(node.bridge);
    expect(entry?.result).to.include({ cniVersion: "1.0.0" });
    const { LogPath } = await node.docker.inspectContainer(containerId);
    expect(readlinkSync(log)).to.equal(LogPath);

    const undone = await run("--undo", "--apply");
    expect(undone.code, undone.text).to.equal(0);
    expect(lstatSync(log).isFile()).to.equal(true);
    expect(readdirSync(join(root, "sandbox"))).to.deep.equal([]);
    expect(await readLegacyCache(cache, pod.podSandboxId, "eth0")).to.deep.equal([]);
    const length = numbers().length;
    await node.start();
    await within(10_000, "more lines", () => (numbers().length > length + 20 ? true : undefined));
    // The time without Dockline included.
    expect(numbers()).to.deep.equal(Array.from({ length: numbers().length }, (_, at) => at + 1));
    await removeAllPods(node);
    await expectNothingLeft(node, { ...before, files: nodeState(node).files });
  });
});
