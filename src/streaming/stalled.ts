import { Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { untakenBytes } from "../sys/tcp-queue.ts";

/** So often in the time after which a client counts as stalled it is looked at. */
const looks = 8;
/** Most connections end at once: what the kernel holds is asked after this part of the time. */
const firstLook = 1 / 5;

/**
 * Tells when the client has taken nothing at all for `ms` although there is more than is kept for it.
 * A client that takes a little now and then is slow and not stalled. Looks are counted instead of
 * time, so that a process that itself stood still blames nobody.
 */
export function untilStalled(
  sinks: readonly (Writable | undefined)[],
  taken: () => Promise<number>,
  ms: number,
): { promise: Promise<void>; release(): void } {
  const watched = sinks.filter((sink) => sink !== undefined);
  let drained = false;
  const onDrain = (): void => void (drained = true);
  for (const sink of watched) sink.on("drain", onDrain);
  const isFull = (): boolean => watched.some((sink) => sink.writable && sink.writableNeedDrain);

  let timer: NodeJS.Timeout | undefined;
  let released = false;
  const promise = new Promise<void>((resolve) => {
    let idle = 0;
    let before: number | undefined;
    const look = async (): Promise<void> => {
      if (!isFull() || drained) {
        idle = 0;
        before = undefined;
      } else {
        const now = await taken();
        idle = now === before ? idle + 1 : 0;
        before = now;
      }
      drained = false;
      if (released) return;
      if (idle >= looks) resolve();
      else timer = setTimeout(() => void look(), ms / looks);
    };
    timer = setTimeout(() => void look(), ms / looks);
  });
  return {
    promise,
    release() {
      released = true;
      clearTimeout(timer);
      for (const sink of watched) sink.off("drain", onDrain);
    },
  };
}

/**
 * Cuts a connection off that has been closed when its other end has accepted nothing for `ms`: what the
 * kernel still holds for a slow one would be lost. Returns what stops it.
 */
export function destroyOnceIdle(connection: Duplex, ms: number, cut: () => void): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const look = async (before: number | undefined): Promise<void> => {
    const now = await takenBytes(connection);
    if (stopped) return;
    if (now === before) cut();
    else timer = setTimeout(() => void look(now), ms);
  };
  timer = setTimeout(() => void look(undefined), ms * firstLook);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/**
 * A number that changes with every byte that the other end of a connection takes: of all that was
 * written, what is neither with us nor with the kernel. Never rejects.
 */
export async function takenBytes(connection: Duplex): Promise<number> {
  if (!(connection instanceof Socket)) return 0;
  const inKernel = await untakenBytes(connection);
  return connection.bytesWritten - connection.writableLength - queuedBytes(connection) - inKernel;
}

/** What of a write under way the kernel has not taken yet. Node keeps it to itself. */
function queuedBytes(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? 0;
}
