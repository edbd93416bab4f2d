import { errorText } from "../errors.ts";
import { sweepScratch } from "../images/accounts.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { Parts } from "./parts.ts";
import { restorePod } from "../pods/restarted.ts";
import { removeOrLeave } from "../pods/ending.ts";
import { sweepEdits } from "../containers/edits-sweep.ts";
import { logTargetOf } from "../rpc/container-start.ts";
import { wordsOf } from "../rpc/runtime-status.ts";

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
  let ending = false;
  let busy = false;
  let notBeforeMs = 0;
  let settledMs = -Infinity;
  const settleIfDue = (): void => {
    const nowMs = parts.clock.monotonicMs();
    if (nowMs - settledMs <= settleMs || !parts.index.health.synced) return;
    settledMs = nowMs;
    settle(parts);
    void parts.netns.settle();
  };
  const look = async (): Promise<void> => {
    if (!resumed && parts.index.health.synced) {
      const containers = await parts.index.containers();
      parts.owedLimits.foundRunning(containers);
      const sandboxes = await parts.index.sandboxes();
      void parts.views.lookAtForeign(sandboxes);
      for (const entry of sandboxes) void restorePod(parts, entry);
      // What has exited is reported with its whole log, and waits for this.
      await resumeLogs(parts, containers);
      await sweep(parts);
      resumed = true;
    }
    if (resumed) void parts.networkGc.settle();
    const { resyncs } = parts.index.counters;
    if (resyncs !== seenResyncs || parts.info.stale) {
      const self = await parts.info.get();
      await parts.keptEngine.keep(wordsOf(self));
      await parts.editing.of(self);
      await parts.netns.own.prepare(parts.factsOf(self));
      seenResyncs = resyncs;
      // An engine that answers other requests but not these is not asked all the time.
      if (parts.info.stale) notBeforeMs = parts.clock.monotonicMs() + retryMs;
    }
  };
  // Waits for nothing else: a sweep may fail, and it or a container's log may hang with a disk.
  const payDebts = (): void => {
    const { synced, engineReady } = parts.index.health;
    if (!synced || !engineReady) return;
    if (!ending) endExecsLeft(parts);
    ending = true;
    if (parts.owed.limits.size > 0) void parts.owedLimits.settle();
    // Partially created pods hold addresses.
    settleIfDue();
  };
  const timer = setInterval(() => {
    payDebts();
    // What the engine could not be asked meanwhile is asked as soon as it is back.
    if (!parts.index.health.engineReady) settledMs = -Infinity;
    if (busy || !parts.index.health.engineReady) return;
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
    if (kind === "started") {
      parts.owedLimits.startedByOthers(entry);
      if (entry.kind === "podsandbox") void restorePod(parts, entry);
    }
    if (kind !== "deleted") return;
    const { id } = entry;
    const work = [parts.edits.remove(id)];
    if (entry.kind === "container") {
      work.push(parts.logs.remove(id), parts.resources.delete(id), parts.adjustments.delete(id));
    }
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

/** A CNI DEL may take minutes: other work does not wait for it. */
function settle({ sandboxes, log }: Parts): void {
  sandboxes.settle().catch((error: unknown) => {
    log.warn({ error: errorText(error) }, "partially created pods will be checked again");
  });
}

/** Their clients went with the process before this one: Docker would let them run forever. */
function endExecsLeft({ owed, endExec, log }: Parts): void {
  const left = owed.execsLeft;
  if (left.length === 0) return;
  log.info({ execs: left.length }, "commands of calls that ended with the last Dockline are ended");
  for (const { execId, containerId } of left) void endExec(execId, containerId);
}

async function resumeLogs(parts: Parts, containers: readonly ContainerEntry[]): Promise<void> {
  const targets = await Promise.all(
    containers.map(async (entry) => {
      const target = await logTargetOf(parts, entry);
      return target && { ...target, running: entry.state.Running || entry.state.Paused };
    }),
  );
  await parts.logs.resume(targets.filter((target) => target !== undefined));
}

/** A process before this one was killed while NRI plugins were asked about them. */
async function removeUnfinished(parts: Parts): Promise<void> {
  const { hooks, index, log } = parts;
  for (const entry of await index.containers()) {
    if (!hooks.isUnfinished(entry) || parts.locks.isHeld(`container:${entry.name}`)) continue;
    log.info({ containerId: entry.id }, "removing a container whose create was not finished");
    await removeOrLeave(parts, entry.id);
  }
}

async function sweep(parts: Parts): Promise<void> {
  await parts.resources.keepOnly((id) => parts.index.peek(id) !== undefined);
  await parts.adjustments.keepOnly((id) => parts.index.peek(id) !== undefined);
  await removeUnfinished(parts);
  await parts.volumes.sweep();
  await sweepEdits({ ...parts, exists: (id) => parts.index.peek(id) !== undefined });
  await sweepScratch(parts.engine, parts.log);
}
