import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./extract.ts";

export interface Ran {
  exitCode: number;
  /** Both streams, as they came. */
  output: string;
}

/** A node in namespaces of its own (stage.sh): engine, Dockline and a pod, all at their usual paths. */
export interface Stage {
  run(command: string, timeoutMs?: number): Promise<Ran>;
  /** Ends the server that the stage began with, and starts it again. */
  stopServer(): Promise<void>;
  startServer(): Promise<void>;
  end(): Promise<void>;
}

const startMs = 60_000;

export async function startStage(): Promise<Stage> {
  // Not below any folder that the stage lays its own over.
  const work = mkdtempSync("/tmp/dockline-docs-");
  const unshare = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const child = spawn(
    "unshare",
    [...unshare, "bash", join(import.meta.dirname, "stage.sh"), root, work],
    { stdio: ["pipe", "pipe", "pipe"] },
  );
  const said: string[] = [];
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      said.push(line);
      for (const wake of waiting) wake();
    });
  }
  child.once("close", () => {
    said.push("closed");
    for (const wake of waiting) wake();
  });
  const hears = async (word: string): Promise<void> => {
    const from = said.lastIndexOf("heard") + 1;
    const deadline = Date.now() + startMs;
    for (;;) {
      const lines = said.slice(from);
      if (lines.includes(word)) {
        said.push("heard");
        return;
      }
      if (lines.includes("closed") || Date.now() > deadline) {
        throw new Error(`the node of the pages did not get to "${word}":\n${said.join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, 500);
        function wake(): void {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        }
        waiting.add(wake);
      });
    }
  };
  const tell = async (word: string, answer: string): Promise<void> => {
    child.stdin.write(`${word}\n`);
    await hears(answer);
  };
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const closed = once(child, "close");
      child.stdin.end("end\n");
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await closed;
      clearTimeout(timer);
    }
    rmSync(work, { recursive: true, force: true });
  };
  try {
    await hears("ready");
  } catch (error) {
    await end();
    throw error;
  }
  const init = initOf(child);
  return {
    run: (command, timeoutMs = 30_000) => runInside(init, work, command, timeoutMs),
    stopServer: () => tell("stop", "stopped"),
    startServer: () => tell("start", "started"),
    end,
  };
}

/** The stage's first process, by its pid out here. */
function initOf(child: ChildProcess): string {
  const pid = String(child.pid);
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  if (first === undefined || first === "") throw new Error("the stage has no process");
  return first;
}

async function runInside(
  init: string,
  work: string,
  command: string,
  timeoutMs: number,
): Promise<Ran> {
  const child = spawn(
    "nsenter",
    ["--target", init, "--mount", "--net", "--pid", "bash", "-c", `cd '${root}'\n${command}`],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        PATH: `${work}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      },
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  clearTimeout(timer);
  if (signal !== null) output += `\n(ended by ${signal} after ${timeoutMs} ms)`;
  return { exitCode: code ?? 128, output };
}
