import { outsideCall, waiting } from "../sys/call-trace.ts";
import { chooseApiVersion } from "./api-version.ts";
import type { ApiVersion } from "./api-version.ts";

/**
 * The API version of this connection to the engine. It is agreed on by a ping before the first
 * request, and again before the next one whenever the engine may be another one than before.
 */
export class Versioning {
  readonly #ping: () => Promise<string | undefined>;
  #version: ApiVersion | undefined;
  #offered: string | undefined;
  #valid = false;
  #flight: Promise<ApiVersion> | undefined;

  /** `ping` resolves with the engine's Api-Version header; it has a deadline of its own. */
  constructor(ping: () => Promise<string | undefined>) {
    this.#ping = ping;
  }

  /** The last version agreed on, also while the engine is away. */
  get version(): ApiVersion | undefined {
    return this.#version;
  }

  /** The engine went away, or refused our version: ask again before the next request. */
  forget(): void {
    this.#valid = false;
  }

  /** The header comes with every answer, so an exchanged engine is noticed without asking. */
  observe(offered: string | undefined): void {
    if (offered !== undefined && offered !== this.#offered) this.#valid = false;
  }

  /** A ping has answered: its header settles the version. */
  settle(offered: string | undefined): ApiVersion {
    this.#version = chooseApiVersion(offered);
    this.#offered = offered;
    this.#valid = true;
    return this.#version;
  }

  /** The version to use now. Callers share one ping; each stops waiting by its own signal. */
  async current(signal: AbortSignal): Promise<ApiVersion> {
    if (this.#valid && this.#version !== undefined) return this.#version;
    this.#flight ??= outsideCall(() =>
      this.#ping()
        .then((offered) => this.settle(offered))
        .finally(() => {
          this.#flight = undefined;
        }),
    );
    const flight = this.#flight;
    const answer = (): Promise<ApiVersion> =>
      new Promise((resolve, reject) => {
        const onAbort = (): void => reject(signal.reason as Error);
        if (signal.aborted) onAbort();
        signal.addEventListener("abort", onAbort, { once: true });
        flight.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
      });
    return await waiting("ping of the engine", answer);
  }
}
