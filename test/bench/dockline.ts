import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { connect, serviceClient } from "../../src/cri/client.ts";
import { RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";

const root = join(import.meta.dirname, "..", "..");

/** The shipped bundle on an engine's socket, nothing between them. */
export class DocklineUnderTest {
  readonly endpoint: string;
  readonly logDir: string;
  readonly #folder: string;
  readonly #args: string[];
  #child: ChildProcess | undefined;
  constructor(options: { folder: string; engineSocket: string; cniConfDir: string }) {
    this.#folder = options.folder;
    mkdirSync(options.folder, { recursive: true });
    this.endpoint = `unix://${options.folder}/dockline.sock`;
    this.logDir = join(options.folder, "pods");
    this.#args = [
      "serve",
      `--container-runtime-endpoint=${this.endpoint}`,
      `--docker-endpoint=unix://${options.engineSocket}`,
      `--state-dir=${options.folder}/state`,
      `--run-dir=${options.folder}/run`,
      `--cni-conf-dir=${options.cniConfDir}`,
      `--cni-cache-dir=${options.folder}/cni-cache`,
    ];
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** `probe` is a module that is loaded first (event-loop delay). */
  start(probe?: string): void {
    const log = openSync(join(this.#folder, "log"), "a");
    const loader = probe === undefined ? [] : ["--import", probe];
    const program = join(root, "bin", "dockline");
    this.#child = spawn(
      probe === undefined ? program : process.execPath,
      probe === undefined ? this.#args : [...loader, program, ...this.#args],
      { stdio: ["ignore", log, log], env: { ...process.env, DOCKLINE_BUNDLE: "1" } },
    );
  }

  async untilReady(): Promise<void> {
    const connection = connect(this.endpoint);
    const runtime = serviceClient(connection, RuntimeService);
    try {
      for (const end = Date.now() + 60_000; Date.now() < end;) {
        if (this.#child?.exitCode !== null) throw new Error(`dockline ended: ${this.#folder}/log`);
        const answer = await runtime.status({}, { timeoutMs: 3000 }).catch(() => undefined);
        const ready = answer?.status?.conditions.filter(({ status }) => status).length;
        if (ready === 2) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`dockline is not ready after a minute: ${this.#folder}/log`);
    } finally {
      connection.close();
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill(signal);
    await closed;
  }
}
