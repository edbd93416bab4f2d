import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";

/** True when a Docker Engine answers on this socket. */
export async function engineAnswers(socketPath: string): Promise<boolean> {
  if (!existsSync(socketPath)) return false;
  return await new Promise((resolve) => {
    const ping = request({ socketPath, path: "/_ping", timeout: 3000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on("error", () => resolve(false));
    ping.on("timeout", () => {
      ping.destroy();
      resolve(false);
    });
    ping.end();
  });
}

export interface StartedEngine {
  socketPath: string;
  /** Ends the engine that was started; nothing for one that ran already. */
  stop: () => Promise<void>;
}

/** Uses the engine on `socketPath`, or starts dockerd there and waits until it answers. */
export async function ensureEngine(
  socketPath: string,
  options: { logFile: string; args?: string[]; program?: string },
): Promise<StartedEngine> {
  if (await engineAnswers(socketPath)) {
    return { socketPath, stop: () => Promise.resolve() };
  }
  mkdirSync(join(options.logFile, ".."), { recursive: true });
  const log = openSync(options.logFile, "a");
  const daemon = spawn(
    options.program ?? "dockerd",
    ["-H", `unix://${socketPath}`, ...(options.args ?? [])],
    {
      detached: true,
      stdio: ["ignore", log, log],
      env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
    },
  );
  closeSync(log);
  const life = { ended: false };
  for (const event of ["error", "exit"]) daemon.on(event, () => (life.ended = true));
  for (let waited = 0; waited < 60_000; waited += 100) {
    if (await engineAnswers(socketPath)) {
      return {
        socketPath,
        stop: async () => {
          daemon.kill("SIGTERM");
          for (let left = 300; left > 0 && !life.ended; left -= 1) await sleep(100);
        },
      };
    }
    if (life.ended) break;
    await sleep(100);
  }
  const tail = readFileSync(options.logFile, "utf8").trim().split("\n").slice(-5).join("\n");
  throw new Error(`dockerd did not start:\n${tail}`);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
