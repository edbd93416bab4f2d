import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";

/** A FUSE file system whose server can be made to hang. */
export interface FuseMount {
  readonly path: string;
  /** The server reads no more requests, as when a network is cut. */
  hang(): void;
  resume(): void;
  /** Requests are read and never answered: a process that waits for one cannot be killed. */
  swallow(): Promise<void>;
  /** Ends the server; the mount stays. */
  end(): Promise<void>;
  /** Ends the server, which frees whoever waits, and unmounts. */
  close(): Promise<void>;
}

/** Mounts one at a folder that is there. */
export async function mountFuse(path: string): Promise<FuseMount> {
  const server = spawn(process.execPath, [join(import.meta.dirname, "fuse-server.ts"), path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await said(server, "ready");
  const end = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGKILL");
    await ended;
  };
  return {
    path,
    hang: () => void server.kill("SIGSTOP"),
    resume: () => void server.kill("SIGCONT"),
    swallow: async () => {
      server.kill("SIGUSR2");
      await said(server, "swallows");
    },
    end,
    close: async () => {
      await end();
      execFileSync("umount", ["-l", path]);
    },
  };
}

async function said(server: ChildProcess, word: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.stdout?.on("data", (text: Buffer) => {
      if (text.toString().includes(word)) resolve();
    });
    server.once("exit", (code) => reject(new Error(`the FUSE server ended with ${code}`)));
  });
}
