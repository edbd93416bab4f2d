import { errorText } from "./errors.ts";
import { scratchLabel } from "./images/accounts.ts";
import type { Parts } from "./parts.ts";
import { sweepEdits } from "./rpc/edits-sweep.ts";
import { logTargetOf } from "./rpc/container-start.ts";
import { settleRecords } from "./rpc/sandbox-lookup.ts";

const lookMs = 250;
/** After a failure: no storm of requests and log lines. */
const retryMs = 5_000;
/** Sandboxes whose making ended in doubt (no answer, and none to the question) are asked for again. */
const settleMs = 30_000;

/**
 * What happens between calls: facts of a new connection are fetched before somebody waits for them,
 * logs are followed again after our own restart, and what belongs to vanished containers is dropped.
 */
export function keepHouse(parts: Parts): { stop(): void } {
  let seenResyncs = 0;
  let resumed = false;
  let busy = false;
  let notBeforeMs = 0;
  let settledMs = 0;
  const look = async (): Promise<void> => {
    // First of all: what has exited is told with its whole log, and waits for this.
    if (!resumed && parts.index.health.synced) {
      await resume(parts);
      resumed = true;
    }
    const { resyncs } = parts.index.counters;
    if (resyncs !== seenResyncs || parts.info.stale) {
      await parts.editing.of(await parts.info.get());
      seenResyncs = resyncs;
      // An engine that answers other requests but not these is not asked all the time.
      if (parts.info.stale) notBeforeMs = parts.clock.monotonicMs() + retryMs;
    }
    const nowMs = parts.clock.monotonicMs();
    if (resumed && nowMs - settledMs > settleMs && parts.index.health.synced) {
      settledMs = nowMs;
      await settleRecords(parts);
    }
  };
  const timer = setInterval(() => {
    if (busy) return;
    if (!parts.index.health.engineReady) {
      // What it could not be asked meanwhile is asked as soon as it is back.
      settledMs = -Infinity;
      return;
    }
    if (parts.clock.monotonicMs() < notBeforeMs) return;
    busy = true;
    look()
      .catch((error: unknown) => {
        parts.log.warn({ error: errorText(error) }, "housekeeping will be tried again");
        notBeforeMs = parts.clock.monotonicMs() + retryMs;
      })
      .finally(() => {
        busy = false;
      });
  }, lookMs);
  const unsubscribe = parts.index.onChange(({ kind, entry }) => {
    if (kind !== "deleted") return;
    const { id } = entry;
    const work = [parts.edits.remove(id)];
    if (entry.kind === "container") work.push(parts.logs.remove(id), parts.resources.delete(id));
    if (entry.identity.extra.imageVolumes !== undefined) work.push(parts.volumes.sweep());
    Promise.all(work).catch((error: unknown) => {
      parts.log.warn({ error: errorText(error), containerId: id }, "clean-up failed");
    });
  });
  return {
    stop: () => {
      clearInterval(timer);
      unsubscribe();
    },
  };
}

async function resume(parts: Parts): Promise<void> {
  const containers = await parts.index.containers();
  const targets = await Promise.all(containers.map((entry) => logTargetOf(parts, entry)));
  await parts.logs.resume(targets.filter((target) => target !== undefined));
  await settleRecords(parts);
  const known = new Set(containers.map((entry) => entry.id));
  await parts.resources.keepOnly((id) => known.has(id));
  await parts.volumes.sweep();
  await sweepEdits({ ...parts, exists: (id) => parts.index.peek(id) !== undefined });
  // Left by a kill in the middle of reading an image's accounts.
  for (const { Id } of await parts.engine.listContainers([scratchLabel])) {
    await parts.engine.removeContainer(Id);
  }
}
