import type { Logger } from "../log.ts";

/**
 * The undo stack of one multi-step effect. Steps are pushed *before* the effect they undo when that
 * effect can fail half-way (CNI ADD), after it otherwise; `undo` runs them in reverse, each to its
 * end whatever the others did. Node 22 has no `using`, hence a class.
 */
export class Rollback {
  readonly #steps: { name: string; undo: () => Promise<void> }[] = [];

  push(name: string, undo: () => Promise<void>): void {
    this.#steps.push({ name, undo });
  }

  /** Forgets the steps: the effect is complete. */
  commit(): void {
    this.#steps.length = 0;
  }

  /** True when every step succeeded; failures are logged and leave the rest to Stop/Remove. */
  async undo(log: Logger): Promise<boolean> {
    let clean = true;
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (err) {
        clean = false;
        log.warn({ err, step: step.name }, "undo step failed");
      }
    }
    return clean;
  }
}
