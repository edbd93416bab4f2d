import { CriError, errorText } from "../errors.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import { podIfName } from "../network/network.ts";
import type { ValidAttachment } from "../network/other-attachments.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

type GcDeps = Pick<SandboxDeps, "network" | "index" | "records" | "clock" | "log">;

/** Between attempts, while pods are being attached or the network is not ready. */
const againMs = 2_000;
/** How long an operator's GC waits for a moment without an ADD or DEL. */
const patienceMs = 60_000;
const lookMs = 100;

/**
 * CNI GC: plugins drop what belongs to no pod. Due after a start, since a record may be lost and a DEL left
 * out, after a DEL was given up, and when an operator asks for it.
 */
export class NetworkGc {
  readonly #deps: GcDeps;
  /** Their DEL was given up: what is left of them is for GC, whatever a record says just now. */
  readonly #givenUp = new Set<string>();
  #isDue = true;
  #isRunning = false;
  #notBeforeMs = 0;

  constructor(deps: GcDeps) {
    this.#deps = deps;
  }

  givenUp(containerId: string): void {
    this.#givenUp.add(containerId);
    this.#isDue = true;
  }

  /** Between calls, once Docker's containers are known. Never rejects; what fails is logged, and not repeated by itself. */
  async settle(): Promise<void> {
    const { clock, log, network } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (!this.#isDue || this.#isRunning || nowMs < this.#notBeforeMs) return;
    this.#isRunning = true;
    this.#isDue = false;
    try {
      const { ready } = await network.status();
      if (!ready) throw new CriError("Unavailable", "the network is not ready");
      if ((await this.#collect()) === undefined) log.info({}, "CNI GC is done");
    } catch (error) {
      if (error instanceof CriError && error.kind === "Unavailable") this.#isDue = true;
      else
        log.warn({ error: errorText(error) }, 'CNI GC failed; "dockline release --gc" repeats it');
    } finally {
      this.#isRunning = false;
      this.#notBeforeMs = clock.monotonicMs() + againMs;
    }
  }

  /**
   * Now, for an operator.
   *
   * @throws CriError FailedPrecondition when the network has no GC, Unavailable; CniError of a plugin
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, network } = this.#deps;
    const { ready, message } = await network.status();
    if (!ready) throw new CriError("Unavailable", `network: ${message}`);
    const endMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      try {
        const none = await this.#collect();
        if (none !== undefined) throw new CriError("FailedPrecondition", none);
        return;
      } catch (error) {
        const isBusy = error instanceof CriError && error.kind === "Unavailable";
        if (!isBusy || clock.monotonicMs() >= endMs) throw error;
        await clock.sleep(lookMs, signal);
      }
    }
  }

  /** Why there is nothing to run; undefined when it was done. */
  async #collect(): Promise<string | undefined> {
    const told = [...this.#givenUp];
    const none = await this.#deps.network.gc(async () => await this.#valid());
    for (const id of told) this.#givenUp.delete(id);
    return none;
  }

  /** Whatever may have an address: every record that owes a DEL, and every pod that has no record. */
  async #valid(): Promise<ValidAttachment[]> {
    const { index, records } = this.#deps;
    const valid = new Map<string, ValidAttachment>();
    for (const { network } of records.all()) {
      if (network === undefined) continue;
      const { containerId, ifName } = network as NetworkAttachment;
      valid.set(containerId, { containerId, ifName });
    }
    for (const { id, inspect } of await index.sandboxes()) {
      if (records.byId(id) !== undefined || inspect?.HostConfig.NetworkMode === "host") continue;
      valid.set(id, { containerId: id, ifName: podIfName });
    }
    for (const id of this.#givenUp) valid.delete(id);
    return [...valid.values()];
  }
}
