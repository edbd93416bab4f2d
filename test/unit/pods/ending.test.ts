import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { kindOf } from "../../../src/cri/status.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { killContainer, removeContainer, signalContainer } from "../../../src/pods/ending.ts";
import { readProcess } from "../../../src/sys/process-tree.ts";
import { until } from "../../support/until.ts";

type Deps = Parameters<typeof killContainer>[0];

const id = "a".repeat(64);
/** A piece of each line of /proc/<pid>/cgroup, as it has a container's id. */
const everyProcess = ":/";

/** An engine that takes a kill, stop or removal and never answers. */
function hangingEngine(
  state: { Running: boolean; Pid: number },
  version: () => Promise<unknown> = () => Promise.resolve(),
): { deps: Deps; slept: number[] } {
  const slept: number[] = [];
  const hang = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        reject(new EngineError({ failure: "aborted", operation: "end", message: "" }));
      });
    });
  const deps = {
    engine: {
      version,
      killContainer: (_id: string, _signal: string, { signal }: { signal: AbortSignal }) =>
        hang(signal),
      stopContainer: (_id: string, _grace: number, { signal }: { signal: AbortSignal }) =>
        hang(signal),
      removeContainer: (_id: string, { signal }: { signal: AbortSignal }) => hang(signal),
    },
    index: { peek: () => ({ state }), touched: () => undefined, removed: () => undefined },
    clock: {
      sleep: async (ms: number) => {
        slept.push(ms);
        await new Promise((resolve) => setImmediate(resolve));
      },
    },
    log: silentLogger,
  } as unknown as Deps;
  return { deps, slept };
}

/** What became of it in a moment that is long for a clock that does not wait. */
const within = async (work: Promise<unknown>): Promise<unknown> =>
  await Promise.race([work, new Promise((resolve) => setTimeout(() => resolve("waits"), 50))]);

interface Member {
  id: string;
  pid: number;
  end(): Promise<void>;
}

const gonePid = (): number => spawnSync("true").pid;

describe("an end that Docker never answers", () => {
  it("is done when the process is gone all the same, and not before Docker had time to notice", async () => {
    const { deps, slept } = hangingEngine({ Running: true, Pid: gonePid() });
    await killContainer(deps, id);
    expect(slept).to.deep.equal([5000, 1000]);
  });

  it("is done for a stop, too, some seconds after its process is gone", async () => {
    const { deps, slept } = hangingEngine({ Running: true, Pid: gonePid() });
    expect(await signalContainer(deps, id, 3600)).to.equal("gone");
    expect(slept).to.deep.equal([5000, 5000]);
  });

  it("is UNAVAILABLE after seconds for a removal, which only Docker can do", async () => {
    const { deps, slept } = hangingEngine({ Running: true, Pid: gonePid() });
    const failure = await removeContainer(deps, id).catch((error: unknown) => kindOf(error));
    expect(failure).to.equal("Unavailable");
    expect(slept).to.deep.equal([5000, 1000]);
  });

  it("is waited for while another process of the container lives", async () => {
    const { deps } = hangingEngine({ Running: true, Pid: gonePid() });
    expect(await within(signalContainer(deps, everyProcess, 1e6))).to.equal("waits");
  });

  const ends: Record<string, (deps: Deps) => Promise<unknown>> = {
    kill: (deps) => killContainer(deps, id),
    stop: (deps) => signalContainer(deps, id, 1),
    removal: (deps) => removeContainer(deps, id),
  };
  for (const [name, end] of Object.entries(ends)) {
    it(`is waited for while nobody knows of the process, or Docker has seen its end: ${name}`, async () => {
      expect(await within(end(hangingEngine({ Running: true, Pid: 0 }).deps))).to.equal("waits");
      const noticed = hangingEngine({ Running: false, Pid: gonePid() });
      expect(await within(end(noticed.deps))).to.equal("waits");
    });

    it(`is waited for while the process lives: ${name}`, async () => {
      const child = spawn("sleep", ["60"]);
      try {
        const { deps } = hangingEngine({ Running: true, Pid: child.pid ?? 0 });
        expect(await within(end(deps))).to.equal("waits");
      } finally {
        child.kill("SIGKILL");
      }
    });
  }

  /** A process in a cgroup that has a container's id. */
  function startMember(): Member | undefined {
    const name = randomBytes(32).toString("hex");
    const roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    const root = roots.find((path) => existsSync(join(path, "cgroup.procs")));
    if (root === undefined) return undefined;
    const folder = join(root, name);
    try {
      mkdirSync(folder);
    } catch {
      return undefined;
    }
    const child = spawn("sleep", ["60"]);
    const ended = once(child, "exit");
    writeFileSync(join(folder, "cgroup.procs"), String(child.pid));
    const end = async (): Promise<void> => {
      child.kill("SIGKILL");
      await ended;
      await until(() => readFileSync(join(folder, "cgroup.procs"), "utf8") === "");
      rmdirSync(folder);
    };
    return { pid: child.pid ?? 0, id: name, end };
  }

  it("kills what Docker does not kill, where Docker answers at all", async function () {
    const member = startMember();
    if (member === undefined) return this.skip();
    const state = { Running: true, Pid: member.pid };
    try {
      const silent = hangingEngine(state, () => Promise.reject(new Error("no answer")));
      expect(await within(killContainer(silent.deps, member.id))).to.equal("waits");
      const early = hangingEngine(state);
      expect(await within(signalContainer(early.deps, member.id, 1e6))).to.equal("waits");
      expect(readProcess(member.pid)).to.not.equal(undefined);
      const { deps, slept } = hangingEngine(state);
      await killContainer(deps, member.id);
      expect(slept.slice(0, 3)).to.deep.equal([5000, 1000, 1000]);
    } finally {
      await member.end();
    }
  });
});
