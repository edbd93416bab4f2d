import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { expectError } from "../support/containers.ts";
import { refused, works } from "../support/fields.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";

// A RuntimeClass is a runtime of daemon.json: here one that writes down its calls and is runc.

describe("a RuntimeClass", function () {
  this.timeout(120_000);
  let engine: PrivateEngine;
  let node: TestNode;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "dockline-runtime-"));
    const program = join(folder, "recorder");
    const runc = execFileSync("sh", ["-c", "command -v runc"], { encoding: "utf8" }).trim();
    const lines = ["#!/bin/sh", `echo "$@" >>${folder}/calls`, `exec ${runc} "$@"`, ""];
    writeFileSync(program, lines.join("\n"), { mode: 0o755 });
    engine = await startPrivateEngine([], { runtimes: { recorder: { path: program } } });
    node = await startNode({ withoutNetwork: true, upstream: engine.socketPath });
  });
  after(async () => {
    await node.close();
    await engine.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => rmSync(join(folder, "calls"), { force: true }));
  afterEach(() => removeAllPods(node));

  const calls = (verb: string, id: string): string[] => {
    const path = join(folder, "calls");
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    return text.split("\n").filter((line) => line.includes(` ${verb} `) && line.includes(id));
  };
  const runtimeOf = async (id: string): Promise<string | undefined> =>
    (await node.docker.inspectContainer(id)).HostConfig.Runtime;
  const runWith = async (runtimeHandler: string) => {
    const sandbox = hostSandboxConfig(node);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: sandbox, runtimeHandler });
    return { podSandboxId, sandbox };
  };

  it("is a handler of the node, with its features, beside the engine's own", async () => {
    const { runtimeHandlers } = await node.runtime.status({});
    const names = runtimeHandlers.map(({ name }) => name);
    expect(names).to.include.members(["", "runc", "recorder"]);
    expect(new Set(names).size).to.equal(names.length);
    for (const { name, features } of runtimeHandlers) {
      expect(features?.recursiveReadOnlyMounts, name).to.be.a("boolean");
      expect(features?.userNamespaces, name).to.be.a("boolean");
    }
  });

  it("runs pause and members of its pods, and nothing of others", async () => {
    works("RunPodSandboxRequest.runtime_handler");
    const pod = await runWith("recorder");
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    for (const one of [pod.podSandboxId, id]) {
      expect(await runtimeOf(one)).to.equal("recorder");
      expect(calls("create", one), "created by the recorder").to.have.length(1);
    }
    expect(await shell(node, id, "echo hi")).to.equal("hi");
    expect(calls("exec", id)).to.have.length(1);
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.runtimeHandler).to.equal("recorder");
    const { items } = await node.runtime.listPodSandbox({ filter: { id: pod.podSandboxId } });
    expect(items[0]?.runtimeHandler).to.equal("recorder");
    await node.runtime.stopContainer({ containerId: id, timeout: 0n });
    await untilExited(node, id);
    const again = containerConfig("sleep 1000", { metadata: { name: "main", attempt: 1 } });
    expect(await runtimeOf(await startContainer(node, pod, again))).to.equal("recorder");

    const plain = await runPod(node, hostSandboxConfig(node));
    const other = await startContainer(node, plain, containerConfig("sleep 1000"));
    expect(await runtimeOf(other)).to.equal("runc");
    expect(calls("create", other).concat(calls("create", plain.podSandboxId))).to.deep.equal([]);
  });

  it("that the engine does not have is refused, and no pod is made", async () => {
    const message = await expectError(
      runWith("kata"),
      "INVALID_ARGUMENT",
      /runtime_handler: "kata" is not a runtime/,
    );
    refused("RunPodSandboxRequest.runtime_handler=unknown", message);
    expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
  });

  it("stays that of its pod when the same pod is asked for under another", async () => {
    const pod = await runWith("recorder");
    const other = node.runtime.runPodSandbox({ config: pod.sandbox, runtimeHandler: "runc" });
    await expectError(other, "ALREADY_EXISTS", /another configuration/);
    const same = await node.runtime.runPodSandbox({
      config: pod.sandbox,
      runtimeHandler: "recorder",
    });
    expect(same.podSandboxId).to.equal(pod.podSandboxId);
  });
});
