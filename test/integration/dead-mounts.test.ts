import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, logPathOf, runToEnd, until, withContainer } from "../support/containers.ts";
import { mountFuse, type FuseMount } from "../support/fuse.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { containerConfig, createContainer, hostSandboxConfig, removePod } from "../support/pods.ts";
import { runPod, shell, startContainer } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";

describe("host paths on a file system that does not answer", function () {
  this.timeout(90_000);
  let node: TestNode;
  let pod: RunningPod;
  let fuse: FuseMount;
  let count = 0;
  const at = (...names: string[]): string => join(node.folder, "dead", ...names);
  const config = (hostPaths: string[], line = "true"): ContainerInit => {
    count += 1;
    const mounts = hostPaths.map((hostPath, n) => ({ hostPath, containerPath: `/v${n}` }));
    return containerConfig(line, { metadata: { name: `d${count}` }, mounts });
  };
  const elapsed = async (work: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });
  beforeEach(async () => {
    mkdirSync(at(), { recursive: true });
    fuse = await mountFuse(at());
  });
  afterEach(async () => {
    await fuse.close();
    await until("no process is left", () => helpers(node.pid).length === 0, 20_000);
  });

  it("are made there and bound while it answers", async () => {
    const paths = [at("new/deep"), at("file"), at()];
    const { out } = await runToEnd(node, pod, config(paths, "ls -d /v0; cat /v1 /v2/new/file"));
    expect(out).to.equal("/v0\nof the server\nof the server\n");
  });

  it("hold up their own containers only, however many mounts and retries there are", async () => {
    const writer = config([], "while :; do date; sleep 0.1; done");
    await withContainer(node, pod, writer, async (containerId) => {
      fuse.hang();
      const paths = Array.from({ length: 6 }, (_, n) => at(`x${n}`));
      const dead = Array.from({ length: 8 }, () => config(paths));
      const began = performance.now();
      const failures = dead.map((one) =>
        expectError(
          createContainer(node, pod, one),
          "FAILED_PRECONDITION",
          /mounts\[\d\]\.host_path: ".*": the file system at .*\/dead has not answered for 10 s/,
        ).then(() => performance.now() - began),
      );
      // Callers that give up and ask again, as the kubelet does.
      const retried = config(paths);
      const retries = Promise.allSettled(
        Array.from({ length: 5 }, () => createContainer(node, pod, retried)),
      );
      await new Promise((resolve) => setTimeout(resolve, 500));
      const log = logPathOf(pod, writer);
      const size = readFileSync(log).length;
      const alone = await elapsed(async () => {
        const other = await runPod(node, hostSandboxConfig(node));
        const { out } = await runToEnd(node, other, config(["/etc", at("..")], "echo ok"));
        expect(out).to.equal("ok\n");
        await removePod(node, other);
        expect(await shell(node, containerId, "echo 1")).to.equal("1");
      });
      expect(alone).to.be.lessThan(8_000);
      expect(readFileSync(log).length).to.be.greaterThan(size);
      expect(helpers(node.pid)).to.have.length(1);
      for (const ms of await Promise.all(failures)) expect(ms).to.be.within(9_000, 15_000);
      fuse.resume();
      expect((await retries).at(-1)?.status).to.equal("fulfilled");
    });
    const { out } = await runToEnd(node, pod, config([at("file")], "cat /v0"));
    expect(out).to.equal("of the server\n");
  });

  it("hold up nothing else as a seccomp profile either", async () => {
    fuse.hang();
    const securityContext = { seccomp: { profileType: 2, localhostRef: at("file") } };
    const one = { ...config([]), linux: { resources: {}, securityContext } };
    await expectError(
      createContainer(node, pod, one),
      "FAILED_PRECONDITION",
      /seccomp profile: ".*": the file system at .* has not answered for 10 s/,
    );
  });

  it("hold up nothing else as a log folder either", async () => {
    const sandbox = hostSandboxConfig(node, { logDirectory: at("logs") });
    const other = await runPod(node, sandbox);
    const containerId = await createContainer(node, other, config([], "sleep 1000"));
    fuse.hang();
    await expectError(
      node.runtime.startContainer({ containerId }),
      "FAILED_PRECONDITION",
      /log_directory: ".*": the file system at .* has not answered for 10 s/,
    );
    fuse.resume();
    await removePod(node, other);
  });

  it("hold up the logs that are written there, and no others", async () => {
    const sandbox = hostSandboxConfig(node, { logDirectory: at("written") });
    const there = await runPod(node, sandbox);
    const print = "while :; do date; sleep 0.1; done";
    // More than the places that all other logs share.
    for (const name of ["one", "two", "three"]) {
      const one = { ...config([], print), logPath: `${name}/file` };
      await startContainer(node, there, one);
    }
    const local = config([], print);
    await withContainer(node, pod, local, async () => {
      const size = (): number => readFileSync(logPathOf(pod, local)).length;
      await until("the local log grows", () => size() > 0);
      fuse.hang();
      await until(
        "it is reported",
        () => /container logs has not answered/.test(node.log()),
        20_000,
      );
      const { info, status } = await node.runtime.status({ verbose: true });
      expect(JSON.stringify(info)).to.include(at());
      const condition = status?.conditions.find(({ type }) => type === "ContainerLogs");
      expect(condition).to.include({ status: false, reason: "FileSystemHangs" });
      expect(condition?.message).to.include(at());
      const before = size();
      await until("the local log still grows", () => size() > before + 100);
      fuse.resume();
      await until("it answers", () => /file system of container logs answers/.test(node.log()));
      const after = await node.runtime.status({});
      expect(JSON.stringify(after.status?.conditions)).to.not.include("ContainerLogs");
      // Ends within seconds while a thread hangs, and goes on where it was.
      fuse.hang();
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await elapsed(() => node.terminate())).to.be.lessThan(5_000);
      fuse.resume();
      await node.start();
      const ended = size();
      await until("the local log goes on", () => size() > ended + 100);
    });
    await removePod(node, there);
  });

  it("fail at once while a process waits for it that cannot be killed", async () => {
    await fuse.swallow();
    const create = (): Promise<unknown> => createContainer(node, pod, config([at("x")]));
    await expectError(create(), "FAILED_PRECONDITION", /has not answered for 10 s/);
    const again = await elapsed(() =>
      expectError(
        create(),
        "FAILED_PRECONDITION",
        /and the process that waits for it cannot be killed/,
      ),
    );
    expect(again).to.be.lessThan(2_000);
    const { out } = await runToEnd(node, pod, config(["/etc"], "echo ok"));
    expect(out).to.equal("ok\n");
    await fuse.close();
    fuse = await mountFuse(at());
    await until("it works again", () =>
      runToEnd(node, pod, config([at("file")], "cat /v0")).then(
        () => true,
        () => false,
      ),
    );
  });

  it("fail in the kernel's words when the server is gone", async () => {
    await fuse.end();
    await expectError(
      createContainer(node, pod, config([at("x")])),
      "FAILED_PRECONDITION",
      /Transport endpoint is not connected/,
    );
  });

  it("could keep more than the four threads that Node has by default", () => {
    expect(readFileSync(`/proc/${node.pid}/environ`, "utf8")).to.match(
      /(^|\0)UV_THREADPOOL_SIZE=16\0/,
    );
  });

  it("leave no process behind when Dockline is killed while it waits", async () => {
    fuse.hang();
    const lost = createContainer(node, pod, config([at("x")])).catch(() => undefined);
    await until("it asks", () => helpers(node.pid).length === 1);
    const [helper = ""] = helpers(node.pid);
    await node.kill();
    await lost;
    await until("it ended", () => !readdirSync("/proc").includes(helper), 20_000);
    await node.start();
  });
});

/** Ids of the processes that look at paths for Dockline. */
function helpers(pid: number): string[] {
  const found = execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" });
  return found.split("\n").flatMap((line) => {
    const [, id = "", parent = "", args = ""] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return parent === String(pid) && /^timeout -s KILL/.test(args) ? [id] : [];
  });
}
