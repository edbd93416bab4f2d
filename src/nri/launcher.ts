import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { readProcess } from "../sys/process-tree.ts";
import { startProcess } from "../sys/process.ts";
import type { InstalledPlugin } from "./discovery.ts";

/** Bytes of what a plugin says last on stderr. */
const LAST_WORDS = 4096;

/** A plugin's process, and the stream to it. */
export interface Launched {
  readonly stream: Duplex;
  /** SIGKILL: it has been informed before, where it could be. */
  kill(): void;
}

/**
 * Starts a plugin with its end of the connection as descriptor 3. One that an earlier Dockline started and that is
 * still there is ended first.
 *
 * @param runDir its `nri` folder notes who was started
 * @param ended with the reason, for whatever is logged or shown
 * @throws Error when the program cannot be started
 */
export function launch(
  plugin: InstalledPlugin,
  runDir: string,
  log: Logger,
  ended: (reason: string) => void,
): Launched {
  const fullName = `${plugin.index}-${plugin.name}`;
  const folder = join(runDir, "nri");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const note = join(folder, `${fullName}.pid`);
  endPredecessor(note, log);
  const child = startProcess(plugin.path, [], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: {
      NRI_PLUGIN_NAME: plugin.name,
      NRI_PLUGIN_IDX: plugin.index,
      NRI_PLUGIN_SOCKET: "3",
    },
  });
  const stream = child.stdio[3] as Duplex;
  stream.on("error", () => undefined);
  if (child.pid !== undefined) noteProcess(note, child.pid);
  let killed = false;
  const words = lastWords(child);
  child.on("error", (error) => ended(`cannot be started: ${errorText(error)}`));
  child.on("exit", (code, signal) => {
    rmSync(note, { force: true });
    stream.destroy();
    if (killed) return;
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    ended(`ended with ${how}${words() === "" ? "" : `: ${words()}`}`);
  });
  return {
    stream,
    kill: () => {
      killed = true;
      child.kill("SIGKILL");
    },
  };
}

function lastWords(child: ChildProcess): () => string {
  let text = "";
  (child.stderr as Readable).setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-LAST_WORDS);
  });
  return () => errorText(text).slice(-300);
}

function noteProcess(note: string, pid: number): void {
  const found = readProcess(pid);
  if (found !== undefined) {
    writeFileSync(note, `${pid} ${found.startTicks}\n`, { mode: 0o600 });
  }
}

/** A pid that the kernel gave to somebody else since has another start. */
function endPredecessor(note: string, log: Logger): void {
  let text: string;
  try {
    text = readFileSync(note, "utf8");
  } catch {
    return;
  }
  const [pid = "", ticks = ""] = text.trim().split(" ");
  const found = /^[0-9]+$/.test(pid) ? readProcess(Number(pid)) : undefined;
  if (found !== undefined && found.startTicks === ticks) {
    log.info({ pid: found.pid, path: note }, "ending an NRI plugin of the Dockline before");
    try {
      process.kill(found.pid, "SIGKILL");
    } catch {
      // It was quicker.
    }
  }
  rmSync(note, { force: true });
}
