import { CriError } from "../errors.ts";

/** Everything that is wrong with a command line, a file or the environment, told at once. */
export class ConfigError extends CriError {
  /** One sentence each: where it was written, what is wrong, and an example. */
  readonly problems: readonly string[];
  constructor(problems: readonly string[], cause?: unknown) {
    super("InvalidArgument", problems.join("; "), { cause });
    this.problems = problems;
  }
}

/** The problems of anything that was thrown, or undefined for what is no matter of configuration. */
export function problemsOf(error: unknown): readonly string[] | undefined {
  if (error instanceof ConfigError) return error.problems;
  return error instanceof CriError && error.kind === "InvalidArgument"
    ? [error.message]
    : undefined;
}

/** Runs `work`; what is wrong with a configuration goes to `problems`, anything else is thrown on. */
export function collected<T>(problems: string[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    const found = problemsOf(error);
    if (found === undefined) throw error;
    problems.push(...found);
    return undefined;
  }
}
