import { errorText } from "../errors.ts";

/** One thing that a look at the node has told. */
export interface Finding {
  /** "bad" keeps the migration from going on; "warn" needs an operator's eye. */
  level: "ok" | "warn" | "bad";
  text: string;
}

/** One step of a migration: what is done by us, or what only the operator can do. */
export interface Step {
  title: string;
  /** Shown for the operator to run where `apply` is missing. */
  commands?: readonly string[];
  /** Does it; resolves with one line about what was done. */
  apply?: () => Promise<string>;
}

const marks: Readonly<Record<Finding["level"], string>> = { ok: "ok  ", warn: "warn", bad: "BAD " };

export function formatFindings(findings: readonly Finding[]): string {
  return findings.map(({ level, text }) => `  ${marks[level]} ${text}\n`).join("");
}

/** A step that failed, with the number it was shown with; those before it are done. */
export class StepFailure extends Error {
  override readonly name = "StepFailure";
  readonly number: number;
  constructor(number: number, step: Step, cause: unknown) {
    super(`step ${number} (${step.title}) failed: ${errorText(cause)}`, { cause });
    this.number = number;
  }
}

/** Runs or only shows the steps, in order; the first that fails ends it with a StepFailure. */
export async function walkSteps(
  steps: readonly Step[],
  options: { apply: boolean; print: (text: string) => void },
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    options.print(`  ${index + 1}. ${step.title}\n`);
    for (const command of step.commands ?? []) options.print(`       ${command}\n`);
    if (step.apply === undefined || !options.apply) continue;
    let done: string;
    try {
      done = await step.apply();
    } catch (error) {
      throw new StepFailure(index + 1, step, error);
    }
    options.print(`       done: ${done}\n`);
  }
}

export const count = (number: number, what: string): string =>
  `${number} ${what}${number === 1 ? "" : "s"}`;
