import type { Engine } from "./engine.ts";
import type { EngineInfo, EngineVersion } from "./types.ts";
import { outsideCall } from "../sys/call-trace.ts";
import { SingleFlight } from "../sys/mutex.ts";

/** What the engine says of itself, good until the next reconnect. */
export interface EngineSelf {
  info: EngineInfo;
  version: EngineVersion;
  /** Negotiated API version's minor number: 41 for 1.41. */
  apiMinor: number;
}

/**
 * `/info` and `/version`, asked once for each connection: an engine that was restarted may be another
 * version with another storage driver. `generation` grows with each reconnect.
 */
export class InfoCache {
  readonly #engine: Engine;
  readonly #generation: () => number;
  readonly #flight = new SingleFlight<EngineSelf>();
  #reloads = 0;
  #known: { self: EngineSelf; generation: number; reloads: number } | undefined;

  constructor(deps: { engine: Engine; generation: () => number }) {
    this.#engine = deps.engine;
    this.#generation = deps.generation;
  }

  /** What is known without asking; undefined before the first contact. */
  peek(): EngineSelf | undefined {
    return this.#known?.self;
  }

  get stale(): boolean {
    const known = this.#known;
    return known?.generation !== this.#generation() || known.reloads !== this.#reloads;
  }

  /** The engine says that its configuration was reloaded: asked again at the next need. */
  outdate(): void {
    this.#reloads += 1;
  }

  /** Asks when the connection is a new one. Rejects with EngineError when nothing is known yet. */
  async get(): Promise<EngineSelf> {
    const known = this.#known;
    if (known !== undefined && !this.stale) return known.self;
    try {
      // Shared by all callers and not the work of any one of them.
      return await this.#flight.run("self", () => outsideCall(() => this.#ask()));
    } catch (error) {
      if (known !== undefined) return known.self;
      throw error;
    }
  }

  async #ask(): Promise<EngineSelf> {
    const generation = this.#generation();
    const reloads = this.#reloads;
    const [version, info] = await Promise.all([
      this.#engine.version({ timeoutMs: 5000 }),
      this.#engine.info({ timeoutMs: 10_000 }),
    ]);
    const self = { info, version, apiMinor: this.#engine.connection.apiVersion?.[1] ?? 41 };
    this.#known = { self, generation, reloads };
    return self;
  }
}
