import type { IndexHealth } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { NetworkStatus } from "../network/network.ts";
import { errorText } from "../errors.ts";

const lookMs = 1_000;
/** As often as a kubelet asks for it. */
const readyNetworkMs = 5_000;

interface Deps {
  health: () => Pick<IndexHealth, "engineReady" | "synced">;
  network: { status(): Promise<NetworkStatus> };
  log: Logger;
  monotonicMs: () => number;
}

/**
 * Says in the log what a node's conditions say, at the start and at each change, also where no kubelet
 * asks: that Docker answers ("up"), why the pod network is not ready, and that pods can be started ("ready").
 */
export class Readiness {
  readonly #deps: Deps;
  #isUp = false;
  #isReady = false;
  #network: { ready: boolean; key: string } | undefined;
  #askedMs = -Infinity;
  #busy = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Looks now, and again and again until `stop`. */
  start(): { stop(): void } {
    void this.look();
    const timer = setInterval(() => void this.look(), lookMs);
    return { stop: () => clearInterval(timer) };
  }

  /** Never rejects. Does nothing while an earlier call still waits for a plugin. */
  async look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { health, log } = this.#deps;
      const { engineReady, synced } = health();
      if (!this.#isUp && engineReady && synced) {
        this.#isUp = true;
        log.info({}, "dockline is up: Docker answers and its containers are known");
      }
      await this.#lookAtNetwork();
      const ready = engineReady && synced && this.#network?.ready === true;
      if (ready && !this.#isReady) log.info({}, "dockline is ready: pods can be started");
      this.#isReady = ready;
    } catch (error) {
      this.#deps.log.debug({ error: errorText(error) }, "the node's conditions are not known");
    } finally {
      this.#busy = false;
    }
  }

  async #lookAtNetwork(): Promise<void> {
    const { network, log, monotonicMs } = this.#deps;
    const isReady = this.#network?.ready === true;
    if (isReady && monotonicMs() - this.#askedMs < readyNetworkMs) return;
    const { ready, reason, message } = await network.status();
    this.#askedMs = monotonicMs();
    // A plugin may put times and counts into its words.
    const key = ready ? "" : `${reason} ${message.replaceAll(/\d+/g, "#")}`;
    if (this.#network?.ready === ready && this.#network.key === key) return;
    this.#network = { ready, key };
    if (ready) log.info({}, "the pod network is ready");
    else
      log.warn(
        { reason, error: message },
        "the pod network is not ready: only pods on the node's network can start",
      );
  }
}
