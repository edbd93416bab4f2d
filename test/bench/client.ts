import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** One line for the client; the fields are those of `request` in client/main.go. */
export interface BenchRequest {
  op: "call" | "start" | "create" | "stop" | "clear" | "exec" | "listed";
  method?: string;
  count?: number;
  parallel?: number;
  ids?: string[];
  hostNetwork?: boolean;
}

export interface BenchPod {
  sandbox: string;
  containers: string[];
}

export interface BenchAnswer {
  error?: string;
  /** Milliseconds of each call, by the CRI's name for it. */
  ms: Record<string, number[]>;
  wallMs: number;
  pods?: BenchPod[];
  items: number;
  bytes: number;
}

const folder = join(import.meta.dirname, "client");

/** Builds the Go client once for each state of its source, and says where it is. */
export function buildClient(): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder).sort()) hash.update(readFileSync(join(folder, name)));
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "dockline-bench");
  const program = join(cache, `client-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  execFileSync("go", ["build", "-trimpath", "-mod=readonly", "-o", `${program}.part`, "."], {
    cwd: folder,
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: `${process.env["PATH"] ?? ""}:/usr/local/go/bin`,
      CGO_ENABLED: "0",
      GOTOOLCHAIN: "local",
    },
  });
  renameSync(`${program}.part`, program);
  return program;
}

/** The running client: one question at a time. */
export class BenchClient {
  readonly #child: ChildProcess;
  readonly #answers: ((line: string | undefined) => void)[] = [];
  constructor(program: string) {
    this.#child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: this.#child.stdout! });
    lines.on("line", (line) => this.#answers.shift()?.(line));
    lines.on("close", () => {
      for (const answer of this.#answers.splice(0)) answer(undefined);
    });
  }

  /** Throws what went wrong in the client or in a call. */
  async ask(request: object): Promise<BenchAnswer> {
    const line = await new Promise<string | undefined>((resolve) => {
      this.#answers.push(resolve);
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    });
    if (line === undefined) throw new Error("the benchmark's client ended");
    const answer = JSON.parse(line) as BenchAnswer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  close(): void {
    this.#child.stdin!.end();
  }
}
