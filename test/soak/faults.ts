import { setTimeout as sleep } from "node:timers/promises";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { pick } from "./random.ts";

interface SoakFault {
  name: string;
  /** Resolves when the fault has been taken back. */
  run(): Promise<void>;
}

/** The faults that a soak draws from; each lasts a few seconds. */
export function soakFaults(
  plugins: FailpointNode,
  engine: PrivateEngine,
  random: () => number,
): SoakFault[] {
  const { node } = plugins;
  const proxy = (name: string, ...faults: Parameters<typeof node.proxy.faults.add>[0][]) => ({
    name,
    run: async () => {
      for (const fault of faults) node.proxy.faults.add(fault);
      await sleep(4000);
      node.proxy.faults.clear();
    },
  });
  const network = (name: string, failpoints: Record<string, string>) => ({
    name,
    run: async () => {
      plugins.failOn(failpoints);
      await sleep(4000);
      plugins.failOn({});
    },
  });
  const all = /^\/(?!events$|_ping$)/;
  return [
    proxy("events are cut", { match: { route: /^\/events$/ }, action: "truncate", bytes: 2000 }),
    proxy("a tenth of the requests gets a 500", {
      match: { route: all },
      action: "status",
      status: 500,
      probability: 0.1,
    }),
    proxy("a tenth of the answers is lost", {
      match: { route: all },
      action: "cutAfter",
      probability: 0.1,
    }),
    proxy("a fifth of the requests is late by 300 ms", {
      match: { route: all },
      action: "delay",
      delayMs: 300,
      probability: 0.2,
    }),
    proxy("inspects hang", {
      match: { method: "GET", route: /^\/containers\/\{id\}\/json$/ },
      action: "hang",
      probability: 0.2,
    }),
    network("ADD fails", { ADD: "2*error(no address left)" }),
    network("ADD fails after its work", { ADD: "2*late-error(changed my mind)" }),
    network("DEL fails", { DEL: "2*error(not now)" }),
    network("ADD is late", { ADD: "3*delay(2000)" }),
    {
      name: "dockerd stands still",
      run: async () => {
        engine.freeze();
        await sleep(3000);
        engine.thaw();
        await sleep(2000);
      },
    },
    {
      name: "a pause container is killed",
      run: async () => {
        const pods = await node.docker.listContainers(["io.kubernetes.docker.type=podsandbox"]);
        const running = pods.filter(({ State }) => State === "running");
        if (running.length > 0) {
          await node.docker
            .killContainer(pick(random, running).Id, "SIGKILL")
            .catch(() => undefined);
        }
        // Its pod fails until the kubelet, here the churn, gives it up.
        await sleep(8000);
      },
    },
  ];
}

/** Draws one fault after another until the signal; what ran is reported through `began`. */
export async function injectFaults(
  faults: readonly SoakFault[],
  options: {
    random: () => number;
    pauseMs: number;
    signal: AbortSignal;
    began(name: string): void;
    ended(): void;
  },
): Promise<void> {
  const { signal } = options;
  const paused = (): Promise<boolean> =>
    sleep(options.pauseMs, true, { signal }).catch(() => false);
  while (await paused()) {
    const fault = pick(options.random, faults);
    options.began(fault.name);
    try {
      await fault.run();
    } finally {
      options.ended();
    }
  }
}
