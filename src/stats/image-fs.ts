import { statfs } from "node:fs/promises";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { DiskUse } from "./disk-walk.ts";
import { GraphLayerBytes, imageStoreFolder } from "./image-store.ts";
import type { StoreFacts } from "./image-store.ts";

export interface FsFigures {
  timestamp: bigint;
  fsId: { mountpoint: string };
  usedBytes: { value: bigint };
  inodesUsed: { value: bigint };
}

/** Asking the engine costs it a walk over all images: at most this often. */
const refreshMs = 300_000;
/** Sooner when images came or went. */
const changedRefreshMs = 10_000;

export interface ImageFsDeps {
  /** As last known; a guess before the engine was reached. */
  store(): StoreFacts;
  /** Bytes of all layers and blobs, each once, as the engine counts them. */
  layersBytes(): Promise<number>;
  /** Writable layers of all containers. */
  writableLayers(): DiskUse;
  /** Grows when images come and go. */
  revision(): number;
  clock: Clock;
  log: Logger;
}

/**
 * ImageFsInfo from memory: the kubelet's connection probe asks it before anything else, and its
 * eviction loop every ten seconds. Bytes are those of the image layers, each counted once; inodes of
 * images are those in use on their file system, since neither store counts them.
 */
export function createImageFs(deps: ImageFsDeps): {
  imageFsInfo(): Promise<{ imageFilesystems: FsFigures[]; containerFilesystems: FsFigures[] }>;
} {
  const graph = new GraphLayerBytes();
  let known: { bytes: bigint; atMs: number; revision: number; folder: string } | undefined;
  let reading: Promise<void> | undefined;
  let engineAsked = false;

  const isFresh = (): boolean => {
    if (known === undefined) return false;
    const changed = known.revision !== deps.revision();
    const ageMs = deps.clock.monotonicMs() - known.atMs;
    return ageMs < (changed ? changedRefreshMs : refreshMs);
  };
  const note = (bytes: bigint, facts: StoreFacts, revision: number): void => {
    known = { bytes, atMs: deps.clock.monotonicMs(), revision, folder: imageStoreFolder(facts) };
  };
  /** Resolves when a graph driver's files are read; an engine that has to be asked answers later. */
  const refresh = async (): Promise<void> => {
    const revision = deps.revision();
    const facts = deps.store();
    const counted = facts.containerdStore ? undefined : await graph.read(facts);
    if (counted !== undefined) {
      note(counted, facts, revision);
      return;
    }
    engineAsked = true;
    deps
      .layersBytes()
      .then((bytes) => note(BigInt(Math.trunc(bytes)), facts, revision))
      .catch(notKnown)
      .finally(() => (engineAsked = false));
  };
  const notKnown = (error: unknown): void => {
    deps.log.debug({ error: errorText(error) }, "layer sizes are not known");
  };

  return {
    imageFsInfo: async () => {
      if (reading === undefined && !engineAsked && !isFresh()) {
        reading = outsideCall(() => refresh().catch(notKnown)).finally(() => (reading = undefined));
      }
      // Whoever comes while the files are being read waits for the same figure.
      await reading;
      const folder = known?.folder ?? imageStoreFolder(deps.store());
      const { usedBytes, inodesUsed } = deps.writableLayers();
      const timestamp = deps.clock.nowNs();
      const fs = await figuresOf(folder);
      return {
        imageFilesystems: [
          {
            timestamp,
            fsId: { mountpoint: fs.path },
            usedBytes: { value: known?.bytes ?? fs.usedBytes },
            inodesUsed: { value: fs.inodesUsed },
          },
        ],
        containerFilesystems: [
          {
            timestamp,
            fsId: { mountpoint: fs.path },
            usedBytes: { value: usedBytes },
            inodesUsed: { value: inodesUsed },
          },
        ],
      };
    },
  };
}

/** The kubelet resolves the path itself and fails on one that is not there. */
async function figuresOf(
  path: string,
): Promise<{ path: string; usedBytes: bigint; inodesUsed: bigint }> {
  for (const candidate of [path, "/"]) {
    try {
      const stats = await statfs(candidate, { bigint: true });
      return {
        path: candidate,
        usedBytes: (stats.blocks - stats.bfree) * stats.bsize,
        inodesUsed: stats.files - stats.ffree,
      };
    } catch {
      // Not there yet: the engine has never run.
    }
  }
  return { path: "/", usedBytes: 0n, inodesUsed: 0n };
}
