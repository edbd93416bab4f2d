import { readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PrivateEngine } from "../support/private-engine.ts";
import { until } from "../support/until.ts";

export interface Goroutines {
  /** Attaches that dockerd works on. At rest only those are left that coincided with the container's exit: 20.10 never ends them. */
  attaches: number;
  /** Goroutines that are not about them. */
  other: number;
}

/** Counts dockerd's goroutines by the stacks that it writes on SIGUSR1. */
export async function readGoroutines(engine: PrivateEngine): Promise<Goroutines> {
  const folder = join(dirname(engine.socketPath), "exec");
  const files = (): string[] =>
    readdirSync(folder).filter((name) => /^goroutine-stacks-.*\.log$/.test(name));
  for (const old of files()) rmSync(join(folder, old));
  process.kill(engine.pid(), "SIGUSR1");
  let stacks: string[] = [];
  await until(() => {
    const [file] = files();
    const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8");
    const before = stacks.length;
    stacks = text.split("\n\n").filter((stack) => stack.includes("goroutine "));
    // Written whole once it does not grow any more.
    return stacks.length > 0 && stacks.length === before;
  });
  for (const read of files()) rmSync(join(folder, read));
  const count = (frames: RegExp): number => stacks.filter((stack) => frames.test(stack)).length;
  return {
    attaches: count(/\.containerAttach\(/),
    other: stacks.length - count(/\.containerAttach\(|\.CopyStreams[.(]/),
  };
}
