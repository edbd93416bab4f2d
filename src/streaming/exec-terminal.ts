import { constants } from "node:fs";
import { open, readdir, readlink } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { readProcess } from "../sys/process-tree.ts";
import { roomIn } from "../sys/room.ts";
import { heldBack } from "./detach-keys.ts";

/** What was written before has reached the process's stdin by then; a person types no faster. */
const passedOnMs = 30;

/**
 * The client's keys to an exec's terminal. What Docker would hold back until the next key, because its
 * detach sequence might begin so, is given to the process's stdin past Docker, where `typePast` can;
 * it takes bytes and resolves with false when it could not. The end of stdin is not passed on. Never
 * rejects.
 */
export async function copyKeys(
  stdin: Readable,
  target: Writable,
  typePast: (bytes: Uint8Array) => Promise<boolean>,
): Promise<void> {
  let writtenMs = -Infinity;
  /** Resolves when nothing that was written waits here any more. */
  let written = Promise.resolve();
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (bytes.length === 0 || target.destroyed) return;
    written = new Promise((resolve) => {
      target.write(bytes, () => {
        writtenMs = performance.now();
        resolve();
      });
    });
    await roomIn(target);
  };
  try {
    // Not destroyed at its end: to Go's client that is a reason to stop reading.
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Buffer;
      const passed = bytes.length - heldBack(bytes);
      await write(bytes.subarray(0, passed));
      if (passed === bytes.length) continue;
      await written;
      await sleep(Math.max(0, writtenMs + passedOnMs - performance.now()));
      const held = bytes.subarray(passed);
      if (!target.destroyed && !(await typePast(held))) await write(held);
    }
  } catch {
    // The client has gone, which others notice too.
  }
}

/**
 * Writes to an exec's stdin past Docker: to the pipe that Docker itself writes to, found with the shim,
 * which is the process's parent and has it open. False when there is none to be seen from here.
 */
export async function typePastDocker(
  execId: string,
  pid: number,
  bytes: Uint8Array,
): Promise<boolean> {
  try {
    const shim = readProcess(pid)?.parent;
    if (shim === undefined) return false;
    const folder = `/proc/${shim}/fd`;
    for (const name of await readdir(folder)) {
      const path = `${folder}/${name}`;
      const target = await readlink(path).catch(() => "");
      if (!target.endsWith(`/${execId}-stdin`)) continue;
      // Opened for each key: as long as it is open, the process would not see the end of its stdin.
      const pipe = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        if (!(await pipe.stat()).isFIFO()) return false;
        // So few bytes are written as a whole or not at all.
        return (await pipe.write(bytes)).bytesWritten === bytes.length;
      } finally {
        await pipe.close();
      }
    }
    return false;
  } catch {
    return false;
  }
}
