import type { EngineFacts } from "../convert/engine-facts.ts";
import type { Engine } from "../engine/engine.ts";
import type { InfoCache } from "../engine/info-cache.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { ContainerLogs } from "../logs/container-logs.ts";
import type { Network } from "../network/network.ts";
import type { EditsFolder } from "../state/edits-folder.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";
import type { Clock } from "../sys/clock.ts";
import type { KeyedMutex } from "../sys/mutex.ts";

/** What the handlers of pods and containers work with; each group picks what it needs. */
export interface PodDeps {
  engine: Engine;
  index: ContainerIndex;
  records: SandboxRecords;
  network: Network;
  logs: ContainerLogs;
  info: InfoCache;
  /** What convert/ must know of the engine; Unavailable while nothing is known yet. */
  facts(): Promise<EngineFacts>;
  pause: PauseImages;
  /** What dockline-oci is told of the containers that it starts. */
  edits: EditsFolder;
  clock: Clock;
  log: Logger;
  /** Serialises work on one object: keys are "sandbox:<name>" and "container:<name>". */
  locks: KeyedMutex;
  setups: SandboxSetups;
}

/** The image of the pause container. */
export interface PauseImages {
  /** The reference to create pause containers from. */
  readonly reference: string;
  /** The engine said 404: pulls it, or loads the embedded one under that name. */
  ensure(signal: AbortSignal): Promise<void>;
}

/**
 * RunPodSandbox calls under way and finished ones whose caller had gone, by sandbox name. Stop and
 * Remove end the former (a CNI ADD may take minutes), and whoever uses a sandbox claims the latter.
 */
export class SandboxSetups {
  readonly #running = new Map<string, AbortController>();
  readonly #ends = new Map<string, (() => void)[]>();
  readonly #abandoned = new Map<string, NodeJS.Timeout>();
  readonly #abandonedMs: number;

  /** @param abandonedMs how long a finished sandbox waits for somebody to ask for it again */
  constructor(abandonedMs = 120_000) {
    this.#abandonedMs = abandonedMs;
  }

  begin(name: string): AbortController {
    const controller = new AbortController();
    this.#running.set(name, controller);
    return controller;
  }
  end(name: string, controller: AbortController): void {
    if (this.#running.get(name) !== controller) return;
    this.#running.delete(name);
    for (const end of this.#ends.get(name) ?? []) end();
    this.#ends.delete(name);
  }
  /** Resolves when the call under way has ended, at once when there is none. */
  async ended(name: string): Promise<void> {
    if (!this.#running.has(name)) return;
    await new Promise<void>((resolve) => {
      this.#ends.set(name, [...(this.#ends.get(name) ?? []), resolve]);
    });
  }
  /** Stop or Remove of a sandbox that is still being set up. */
  interrupt(name: string, reason: Error): void {
    this.#running.get(name)?.abort(reason);
  }

  /**
   * Nobody got this result: `discard` is called when nobody claimed the sandbox in time. It has to
   * claim the sandbox itself, under the sandbox's lock: a retry may have been quicker.
   */
  abandon(name: string, discard: () => void): void {
    this.claim(name);
    this.#abandoned.set(name, setTimeout(discard, this.#abandonedMs).unref());
  }
  /** True when the sandbox was abandoned until now. */
  claim(name: string): boolean {
    clearTimeout(this.#abandoned.get(name));
    return this.#abandoned.delete(name);
  }
}
