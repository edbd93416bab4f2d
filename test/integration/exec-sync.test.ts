import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { expect } from "chai";
import { processesBeside } from "../support/container-processes.ts";
import { expectError, until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";

const MiB = 1024 * 1024;

describe("ExecSync", () => {
  let node: TestNode;
  let pod: RunningPod;
  let containerId: string;
  let init: number;
  let start: NodeState;

  const exec = (line: string, timeout = 20n, options: { signal?: AbortSignal } = {}) =>
    node.runtime.execSync({ containerId, cmd: ["sh", "-c", line], timeout }, options);
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  /** Command lines of the container's processes, its init left out. */
  const processes = (): string[] => processesBeside(init, containerId);
  const secondsOf = async (work: Promise<unknown>): Promise<number> => {
    const begin = performance.now();
    await work.catch(() => undefined);
    return (performance.now() - begin) / 1000;
  };

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
    containerId = await startContainer(
      node,
      pod,
      containerConfig("while :; do sleep 1000 & wait; done"),
    );
    init = (await node.docker.inspectContainer(containerId)).State.Pid;
    await until("the container's shell is up", () => processes().length > 0);
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });
  beforeEach(() => {
    start = nodeState(node);
  });
  afterEach(async () => {
    await until("only the container's own process is left", () => processes().length === 1).catch(
      (error: unknown) => Promise.reject(new Error(`${String(error)}: ${processes().join("; ")}`)),
    );
    await expectNothingLeft(node, start);
  });

  it("answers both streams apart and the exit code", async () => {
    const answer = await exec("echo out; echo err >&2; exit 42");
    expect([text(answer.stdout), text(answer.stderr), answer.exitCode]).to.deep.equal([
      "out\n",
      "err\n",
      42,
    ]);
    for (const code of [0, 1, 126, 127, 137, 255])
      expect((await exec(`exit ${code}`)).exitCode).to.equal(code);
    expect((await exec("kill -9 $$")).exitCode).to.equal(137);
    expect((await exec("printf '\\000\\377'")).stdout).to.deep.equal(Buffer.from([0, 255]));
  });

  it("runs with stdin closed and without a terminal", async () => {
    expect(text((await exec("tty; wc -c", 5n)).stdout)).to.equal("not a tty\n0\n");
  });

  it("keeps the exit code of a command that prints 32 MiB, below the kubelet's limit", async () => {
    const both = "head -c 16777216 /dev/zero >&2; head -c 16777216 /dev/zero; exit 9";
    for (const line of ["head -c 33554432 /dev/zero; exit 9", both]) {
      const { stdout, stderr, exitCode } = await exec(line, 50n);
      expect(exitCode).to.equal(9);
      const length = stdout.length + stderr.length;
      expect(length)
        .to.be.greaterThan(15 * MiB)
        .and.lessThan(16 * MiB);
    }
  });

  it("ends what is late, with everything that came of it", async () => {
    const trees: Record<string, string> = {
      "a plain one": "sleep 1001",
      "a shell that ignores TERM": "trap '' TERM INT HUP; while :; do sleep 1002; done",
      "a tree": "sh -c 'sh -c \"sleep 1003\" & sleep 1004' & sh -c 'sleep 1005'",
      "an orphan": "(sleep 1006 &) ; sleep 1007",
      "an orphan with a session of its own": "(setsid sleep 1008 &) ; sleep 1009",
      "forks all the time": "while :; do sleep 0.01 & (sleep 1010 &) ; sleep 0.02; done",
    };
    const late = Object.entries(trees).map(async ([name, line]) => {
      const call = exec(line, 1n);
      const seconds = secondsOf(call);
      await expectError(call, "DEADLINE_EXCEEDED", /timed out after 1 s/);
      // Counted from its start, for which a busy machine takes its time.
      expect(await seconds, name)
        .to.be.greaterThan(0.9)
        .and.lessThan(8);
    });
    await Promise.all(late);
    await until("all are gone", () => processes().length === 1, 1000);
  });

  it("ends what is late although the engine fails just then", async () => {
    const fault = node.proxy.faults.add({
      match: { method: "GET", route: /^\/exec\/\{id\}\/json$/ },
      action: "status",
      status: 500,
      times: 12,
    });
    await expectError(exec("sleep 1012", 1n), "DEADLINE_EXCEEDED", /timed out after 1 s/);
    await until("all are gone", () => processes().length === 1);
    node.proxy.faults.clear();
    expect(fault.hits).to.equal(12);
  });

  it("does not wait for a background child that holds the output", async () => {
    const call = exec("echo before; sleep 1011 & echo after $!", 10n);
    expect(await secondsOf(call)).to.be.lessThan(3.5);
    const answer = await call;
    const [, child = ""] = /^before\nafter (\d+)\n$/.exec(text(answer.stdout)) ?? [];
    expect(answer.exitCode).to.equal(0);
    expect((await exec(`kill ${child}`)).exitCode).to.equal(0);
  });

  it("tells that a command cannot be run as a shell would, with the reason on stderr", async () => {
    const files =
      "echo x >/noexec; for f in interp junk; do echo '#!/no/interp' >/$f; chmod +x /$f; done; printf junk >/junk";
    await exec(files);
    for (const [cmd, code, reason] of [
      [["/no/such/command"], 127, /"\/no\/such\/command".*no such file/],
      [["no-such-command"], 127, /"no-such-command".*not found/],
      [["/etc"], 126, /"\/etc".*(permission denied|is a directory)/],
      [["/noexec"], 126, /"\/noexec".*permission denied/],
      [["/interp"], 127, /^exec \/interp: no such file or directory$/m],
      [["/junk"], 126, /^exec \/junk: exec format error$/m],
    ] as const) {
      const answer = await node.runtime.execSync({ containerId, cmd: [...cmd], timeout: 20n });
      expect([answer.exitCode, text(answer.stdout)], cmd.join()).to.deep.equal([code, ""]);
      expect(text(answer.stderr)).to.match(reason);
    }
    await exec("rm /noexec /interp /junk");
  });

  it("tells that the working directory is gone in the same way", async () => {
    const gone = await startContainer(
      node,
      pod,
      containerConfig("rmdir /tmp/w; while :; do sleep 1; done", {
        metadata: { name: "gone" },
        workingDir: "/tmp/w",
      }),
    );
    await until("its folder is gone", async () => {
      const answer = await node.runtime.execSync({
        containerId: gone,
        cmd: ["true"],
        timeout: 20n,
      });
      if (answer.exitCode === 0) return false;
      expect([answer.exitCode, text(answer.stdout)]).to.deep.equal([127, ""]);
      expect(text(answer.stderr)).to.match(/\/tmp\/w.*no such file/);
      return true;
    });
    await node.runtime.removeContainer({ containerId: gone });
  });

  it("refuses what cannot be run", async () => {
    const { runtime } = node;
    const call = (fields: object) =>
      runtime.execSync({ containerId, cmd: ["true"], timeout: 5n, ...fields });
    await expectError(call({ cmd: [] }), "INVALID_ARGUMENT", /command/);
    await expectError(call({ timeout: -1n }), "INVALID_ARGUMENT", /timeout/);
    await expectError(call({ containerId: "" }), "INVALID_ARGUMENT", /empty/);
    await expectError(call({ containerId: "f".repeat(64) }), "NOT_FOUND", /no container/);
    await expectError(call({ containerId: "../../version" }), "NOT_FOUND", /no container/);
    const created = await createContainer(
      node,
      pod,
      containerConfig("true", { metadata: { name: "created" } }),
    );
    await expectError(call({ containerId: created }), "FAILED_PRECONDITION", /not running/);
    await runtime.removeContainer({ containerId: created });
    expect((await call({ containerId: containerId.slice(0, 12) })).exitCode).to.equal(0);
    expect((await call({ timeout: 0n })).exitCode).to.equal(0);
  });

  it("ends the command when its caller goes", async () => {
    const controller = new AbortController();
    const call = exec("sleep 1012", 60n, { signal: controller.signal });
    await until("the command runs", () => processes().some((line) => line.includes("sleep 1012")));
    controller.abort();
    await expectError(call, "CANCELLED", /.*/);
    await until("the command is gone", () => processes().length === 1, 2000);
  });

  it("leaves no more zombies than Docker's own exec, where the first process reaps none", async () => {
    const idle = await startContainer(
      node,
      pod,
      containerConfig("exec sleep 1000", { metadata: { name: "idle" } }),
    );
    const { Pid } = (await node.docker.inspectContainer(idle)).State;
    const children = (): string =>
      execFileSync("ps", ["-o", "stat=", "--ppid", String(Pid)], { encoding: "utf8" });
    const zombies = (): number => {
      try {
        return children()
          .split("\n")
          .filter((state) => state.startsWith("Z")).length;
      } catch {
        // ps finds none.
        return 0;
      }
    };
    const rounds = 5;
    const leaves = async (run: (line: string) => Promise<unknown> | undefined): Promise<number> => {
      const before = zombies();
      for (let at = 0; at < rounds; at += 1) await run("sleep 0.2 & exit 0");
      await until("their children have ended", () => zombies() - before >= rounds);
      return zombies() - before;
    };
    const cmdOf = (line: string): string[] => ["sh", "-c", line];
    const docker = await leaves((line) => {
      execFileSync("docker", ["-H", `unix://${node.upstream}`, "exec", idle, ...cmdOf(line)]);
      return undefined;
    });
    const own = await leaves((line) =>
      node.runtime.execSync({ containerId: idle, cmd: cmdOf(line), timeout: 20n }),
    );
    expect(own).to.equal(docker);
    // One that is late leaves its children and grandchildren, of which containerd would leave as many.
    const before = zombies();
    for (let at = 0; at < rounds; at += 1) {
      const cmd = cmdOf("sleep 1013 & sleep 1014");
      const call = node.runtime.execSync({ containerId: idle, cmd, timeout: 1n });
      await expectError(call, "DEADLINE_EXCEEDED", /timed out/);
    }
    expect(zombies() - before).to.be.at.most(2 * rounds);
    await node.runtime.removeContainer({ containerId: idle });
  });

  it("serves many at once, each with its own answer", async () => {
    // Of a hundred that begin in one moment, the 29.x engine on Debian's containerd 1.6 leaves most
    // waiting forever; seen with Docker's own client too.
    const { ApiVersion } = await node.docker.version();
    const many = Number(ApiVersion.split(".")[1]) >= 43 ? 10 : 100;
    const answers = await Promise.all(
      Array.from({ length: many }, (_, i) => exec(`echo ${i}; exit ${i}`, 100n)),
    );
    answers.forEach((answer, i) => {
      expect([text(answer.stdout), answer.exitCode]).to.deep.equal([`${i}\n`, i]);
    });
  }).timeout(120_000);

  it("holds nothing after 100 more", async () => {
    const figures = () => ({
      handles: readdirSync(`/proc/${node.pid}/fd`).length,
      memory: Number(
        /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1],
      ),
    });
    const before = figures();
    for (let round = 0; round < 10; round += 1)
      await Promise.all(Array.from({ length: 10 }, () => exec("echo x", 100n)));
    const after = figures();
    expect(after.handles - before.handles).to.be.lessThan(20);
    expect(after.memory - before.memory).to.be.lessThan(40 * 1024);
  }).timeout(120_000);
});
