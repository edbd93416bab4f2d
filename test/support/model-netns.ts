import { randomUUID } from "node:crypto";
import { silentLogger } from "../../src/log.ts";
import { OwnNetns } from "../../src/pods/own-netns.ts";

/** Network namespaces of the model's pods, on an engine that leaves IPv6 alone once it is known. */
export function modelNetns(
  isOn: boolean,
  effects: { make(path: string): Promise<void>; remove(path: string): Promise<void> },
): OwnNetns {
  return new OwnNetns({
    namespaces: {
      share: () => Promise.resolve(),
      newPath: () => `/model/netns/dockline-${randomUUID()}`,
      ipv6IsKept: () => Promise.resolve(true),
      ...effects,
    },
    owners: { add: () => Promise.resolve() },
    isOn,
    engine: () => "model",
    clock: { monotonicMs: () => 0 },
    log: silentLogger,
  });
}
