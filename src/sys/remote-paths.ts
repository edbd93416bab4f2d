import type { ChildProcess } from "node:child_process";
import type { PathCalls } from "./path-calls.ts";
import { startProcess } from "./process.ts";

/** A file system did not answer in time; the message says which and since when. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** What the kernel said to a program, in its own words; `code` for what is told apart. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  readonly code: string | undefined;
  constructor(words: string) {
    super(words);
    this.code = CODES.get(words);
  }
}

const CODES: ReadonlyMap<string, string> = new Map([
  ["No such file or directory", "ENOENT"],
  ["File exists", "EEXIST"],
]);

interface Job {
  readonly args: readonly string[];
  /** By when it must have begun, on performance.now's clock. */
  readonly deadline: number;
  /** Its key in `looks`. */
  readonly look: string | undefined;
  readonly resolve: (output: string) => void;
  readonly reject: (error: Error) => void;
}

/** They change nothing, so that one that has not begun can answer for many. */
const LOOKS = new Set(["stat", "readlink"]);
/** The mode of every folder that a program makes, also of those on the way to it. */
const AS_0755 = 'umask 022 && exec "$@"';

/** One file system: what waits for it, and the process that touches it now. */
interface Lane {
  readonly waiting: Job[];
  /** Results of the looks among them. */
  readonly looks: Map<string, Promise<string>>;
  running?: ChildProcess | undefined;
  /** Its process was killed and has not ended. */
  hungSince?: Date | undefined;
}

/**
 * Calls on file systems that may hang. Each is a short-lived program, one at a time for a file
 * system, so that it can be killed; the kernel may hold even that one, and then all calls on its
 * file system fail at once until it ends.
 */
export class RemotePaths {
  readonly #lanes = new Map<string, Lane>();
  readonly #timeoutMs: number;

  /** @param timeoutMs how long a call may wait for its turn, and then how long it may take */
  constructor(timeoutMs = 10_000) {
    this.#timeoutMs = timeoutMs;
  }

  /** @param key mount point of the file system */
  on(key: string): PathCalls {
    const run = (...args: string[]): Promise<string> => this.#run(key, args);
    return {
      look: async (path) => {
        const kind = Number.parseInt(await run("stat", "-c", "%f", "--", path), 16) & 0o170000;
        if (kind === 0o120000) return { link: await run("readlink", "-n", "--", path) };
        return kind === 0o040000 ? "folder" : "other";
      },
      makeFolder: async (path) => {
        await run("mkdir", "-m", "0755", "--", path).catch(unless("EEXIST"));
      },
      makeFolders: async (path) => {
        const found = await run("stat", "-L", "-c", "%f", "--", path).catch(unless("ENOENT"));
        if (found !== undefined) return;
        await run("sh", "-c", AS_0755, "sh", "mkdir", "-p", "-m", "0755", "--", path);
      },
    };
  }

  /** Ends what runs. */
  close(): void {
    for (const { running } of this.#lanes.values()) {
      if (running === undefined) continue;
      kill(running);
      running.stdout?.destroy();
      running.stderr?.destroy();
    }
  }

  #run(key: string, args: readonly string[]): Promise<string> {
    const lane: Lane = this.#lanes.get(key) ?? { waiting: [], looks: new Map() };
    this.#lanes.set(key, lane);
    if (lane.hungSince !== undefined) {
      const since = lane.hungSince.toISOString();
      return Promise.reject(
        new NoAnswer(
          `the file system at ${key} has not answered since ${since}, and the process that waits for it cannot be killed`,
        ),
      );
    }
    const look = LOOKS.has(args[0] ?? "") ? args.join("\0") : undefined;
    const same = look === undefined ? undefined : lane.looks.get(look);
    if (same !== undefined) return same;
    const deadline = performance.now() + this.#timeoutMs;
    const promise = new Promise<string>((resolve, reject) => {
      lane.waiting.push({ args, deadline, look, resolve, reject });
    });
    if (look !== undefined) lane.looks.set(look, promise);
    this.#next(key, lane);
    return promise;
  }

  #next(key: string, lane: Lane): void {
    if (lane.running !== undefined) return;
    const seconds = this.#timeoutMs / 1000;
    let job = take(lane);
    while (job !== undefined && job.deadline < performance.now()) {
      const why = `the file system at ${key} is slow: other calls have kept it for ${seconds} s`;
      job.reject(new NoAnswer(why));
      job = take(lane);
    }
    if (job === undefined) {
      this.#lanes.delete(key);
      return;
    }
    const { args, resolve, reject } = job;
    const began = new Date();
    let child: ChildProcess;
    try {
      child = this.#start(args);
    } catch (cause) {
      // Node throws some reasons and reports others as an event.
      reject(startFailure(cause as Error));
      this.#next(key, lane);
      return;
    }
    lane.running = child;
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name]?.setEncoding("utf8").on("data", (text: string) => (output[name] += text));
    const timer = setTimeout(() => {
      lane.hungSince = began;
      kill(child);
      const late = new NoAnswer(`the file system at ${key} has not answered for ${seconds} s`);
      reject(late);
      for (let one = take(lane); one !== undefined; one = take(lane)) one.reject(late);
    }, this.#timeoutMs);
    child.once("error", (cause) => reject(startFailure(cause)));
    // Its pipes close when the program itself has ended, not only timeout(1).
    child.once("close", (code) => {
      clearTimeout(timer);
      lane.running = undefined;
      lane.hungSince = undefined;
      if (code === 0) resolve(output.stdout);
      else reject(new CallFailure(/: ([^:]+)\s*$/.exec(output.stderr)?.[1]?.trim() ?? "no answer"));
      this.#next(key, lane);
    });
  }

  #start(args: readonly string[]): ChildProcess {
    // timeout(1) ends the program when this process was killed meanwhile.
    const limit = String(Math.ceil(this.#timeoutMs / 1000) + 5);
    return startProcess("timeout", ["-s", "KILL", limit, ...args], {
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
  }
}

function take(lane: Lane): Job | undefined {
  const job = lane.waiting.shift();
  if (job?.look !== undefined) lane.looks.delete(job.look);
  return job;
}

/** Not the error itself: an ENOENT of the program is none of the path. */
const startFailure = (cause: Error): Error => new Error(cause.message, { cause });

/** For a failed call whose error means the same as `undefined`. */
const unless =
  (code: string) =>
  (error: unknown): undefined => {
    if (error instanceof CallFailure && error.code === code) return undefined;
    throw error;
  };

function kill(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
