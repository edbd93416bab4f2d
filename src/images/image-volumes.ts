import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engine/engine.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { unlessAborted } from "../sys/abort.ts";
import { failpoint } from "../sys/failpoint.ts";
import { ensurePrivateFolder, isErrno } from "../sys/fs.ts";
import { KeyedMutex, Semaphore, SingleFlight } from "../sys/mutex.ts";
import { runProcess } from "../sys/process.ts";
import { UnpackBudget, UnusableImage } from "./layer-entry.ts";
import { unpackSavedImage } from "./saved-image.ts";
import { resolveSubPath } from "./sub-path.ts";

/** A copy in use. It stays until all users have released it and no container mounts it. */
export interface HeldCopy {
  /** Absolute path of the sub path in the copy; no link is on the way. */
  path(subPath: string): Promise<string>;
  release(): void;
}

/**
 * `<state-dir>/image-volumes`: the file systems of images that are mounted as volumes, for engines
 * that cannot do it themselves (API below 1.48). One folder for each image, named by its id, which is
 * there whole or not at all.
 */
export interface ImageVolumes {
  /**
   * The image's copy, made where it is missing. It goes on being made when its callers have left, and
   * waits some minutes for the next attempt: the kubelet gives up earlier than a large image is there.
   *
   * @throws CriError FailedPrecondition for an image that no copy can be made of, ResourceExhausted
   *   without room for it
   */
  hold(image: { id: string; size: number }, signal: AbortSignal): Promise<HeldCopy>;
  /**
   * Removes the copies that no container uses and nobody holds. Done by itself when the last holder
   * lets go.
   */
  sweep(): Promise<void>;
}

/** Copies of large images take minutes; an engine that sends nothing any more is not waited for. */
const saveMs = 3_600_000;
/** Of one image; base images have some tens of thousands. */
const maxFiles = 4_000_000;
/** What an image may hold beyond its size, which engines count in different ways. */
const sizeSlackBytes = 64 << 20;
/** Twice the kubelet's longest pause between two attempts. */
const keepAbandonedMs = 600_000;

export async function createImageVolumes(deps: {
  engine: Pick<Engine, "saveImage">;
  stateDir: string;
  /** Ids of the images whose copies containers have mounted. */
  usedBy(): Promise<ReadonlySet<string>>;
  log: Logger;
  keepAbandonedMs?: number;
}): Promise<ImageVolumes> {
  const { engine, log } = deps;
  const folder = join(deps.stateDir, "image-volumes");
  await ensurePrivateFolder(folder);
  const holders = new Map<string, number>();
  /** Copies taken into use since the last look at the containers, which that look cannot have seen. */
  const heldSince = new Set<string>();
  const locks = new KeyedMutex();
  const flights = new SingleFlight<undefined>();
  const oneAtATime = new Semaphore(1);
  let sweeping: Promise<void> = Promise.resolve();

  const make = async (hex: string, size: number): Promise<undefined> => {
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize < size + sizeSlackBytes) {
      throw new CriError("ResourceExhausted", `no room for a copy of ${size} bytes in ${folder}`);
    }
    const temporary = join(folder, `.${hex}.${randomBytes(6).toString("hex")}.tmp`);
    const work = join(temporary, "layers");
    const tree = join(temporary, "tree");
    await mkdir(temporary, { mode: 0o700 });
    try {
      await mkdir(work, { mode: 0o700 });
      await mkdir(tree, { mode: 0o755 });
      const budget = new UnpackBudget({ bytes: 2 * size + sizeSlackBytes, entries: maxFiles });
      const archive = await engine.saveImage(`sha256:${hex}`, {
        signal: AbortSignal.timeout(saveMs),
      });
      const lost = await unpackSavedImage(archive, work, tree, budget);
      if (lost > 0) {
        log.warn({ image: hex, files: lost }, "extended attributes are not in the image's copy");
      }
      failpoint("image-volume.after-merge");
      await toDisk(tree, log);
      await rename(tree, join(folder, hex));
      failpoint("image-volume.after-rename");
    } catch (error) {
      if (error instanceof UnusableImage) throw new CriError("FailedPrecondition", error.message);
      throw error;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
    return undefined;
  };

  const removeUnused = async (): Promise<void> => {
    const names = await readdir(folder);
    if (names.length === 0) return;
    heldSince.clear();
    for (const hex of holders.keys()) heldSince.add(hex);
    const usedBy = await deps.usedBy();
    for (const name of names) {
      const left = name.endsWith(".tmp");
      const hex = left ? name.slice(1, 65) : name;
      const doomed = left ? name : `.${hex}.${randomBytes(6).toString("hex")}.tmp`;
      const unused = await locks.run(hex, async () => {
        // A copy in the making is held by its maker.
        if (holders.has(hex)) return false;
        if (left) return true;
        if (heldSince.has(hex) || usedBy.has(`sha256:${hex}`)) return false;
        await rename(join(folder, name), join(folder, doomed));
        return true;
      });
      if (!unused) continue;
      failpoint("image-volume.before-remove");
      await rm(join(folder, doomed), { recursive: true, force: true });
    }
  };

  const sweep = async (): Promise<void> => {
    const own = sweeping.then(removeUnused);
    sweeping = own.catch(() => undefined);
    await own;
  };
  const hold = (hex: string): (() => void) => {
    heldSince.add(hex);
    return holdOn(holders, hex, () => {
      sweep().catch((error: unknown) => {
        log.warn({ error: errorText(error) }, "copies of images wait for the next clean-up");
      });
    });
  };

  return {
    sweep,
    hold: async ({ id, size }, signal) => {
      const hex = id.replace(/^sha256:/, "");
      if (!/^[0-9a-f]{64}$/.test(hex)) throw new Error(`not an image id: ${id}`);
      const letGo = hold(hex);
      const path = join(folder, hex);
      // The copy in the making holds on to itself: its callers may leave.
      const whole = flights.run(hex, async () => {
        const done = hold(hex);
        try {
          // Not while it is put away.
          if (!(await locks.run(hex, () => isThere(path))))
            await oneAtATime.run(() => make(hex, size));
        } catch (error) {
          done();
          throw error;
        }
        if (holders.get(hex) === 1)
          setTimeout(done, deps.keepAbandonedMs ?? keepAbandonedMs).unref();
        else done();
        return undefined;
      });
      try {
        await unlessAborted(whole, signal);
      } catch (error) {
        letGo();
        throw error;
      }
      return { path: (subPath) => resolveSubPath(path, subPath), release: letGo };
    },
  };
}

/** Counts one more holder; the result takes it back, once, and the last one says so. */
function holdOn(holders: Map<string, number>, hex: string, onLast: () => void): () => void {
  holders.set(hex, (holders.get(hex) ?? 0) + 1);
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    const others = (holders.get(hex) ?? 1) - 1;
    if (others > 0) holders.set(hex, others);
    else {
      holders.delete(hex);
      onLast();
    }
  };
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** A power cut after the rename must not leave files without content: one syncfs for all of them. */
async function toDisk(path: string, log: Logger): Promise<void> {
  try {
    const { exitCode, stderr } = await runProcess("sync", ["-f", path], { timeoutMs: 600_000 });
    if (exitCode !== 0) throw new Error(stderr.trim());
  } catch (error) {
    log.warn({ error: errorText(error) }, "the image's copy is not flushed to disk");
  }
}
