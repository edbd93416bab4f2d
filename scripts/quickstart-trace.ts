import { readFileSync } from "node:fs";

interface Line {
  rpc: string;
  subject: string;
  code: string;
  durationMs: number;
  steps: { kind: string; name: string; durationMs: number; startMs: number }[];
}

/** Shows what `--trace-file` recorded: one line a call, one line a step below it. */
export class TraceReader {
  readonly #path: string;
  constructor(path: string) {
    this.#path = path;
  }

  /** Calls that changed something or asked Docker; the rest is summed up in the last line. */
  render(): string {
    const calls = readFileSync(this.#path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    const shown = calls.filter((call) => call.steps.length > 0);
    const quiet = calls.length - shown.length;
    const lines = shown.flatMap((call) => [
      `  ${`${call.rpc} ${call.subject}`.padEnd(46)} ${ms(call.durationMs)}  ${call.code}`,
      ...call.steps.map(
        (step) =>
          `      ${`${step.kind} ${step.name}`.padEnd(42).slice(0, 56)} ${ms(step.durationMs)}`,
      ),
    ]);
    return [...lines, `  and ${quiet} reads without any Docker request`].join("\n");
  }
}

const ms = (value: number): string => `${value.toFixed(1).padStart(8)} ms`;
