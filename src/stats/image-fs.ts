import { statfs } from "node:fs/promises";
import type { Logger } from "../log.ts";
import { errorText } from "../errors.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";

export interface FsFigures {
  timestamp: bigint;
  fsId: { mountpoint: string };
  usedBytes: { value: bigint };
  inodesUsed: { value: bigint };
}

/** Layers are summed up by the engine; asking costs it a walk, so at most this often. */
const refreshMs = 300_000;
/** Sooner when images came or went. */
const changedRefreshMs = 10_000;

/**
 * ImageFsInfo from memory: the kubelet's connection probe asks it before anything else, and its
 * eviction loop every ten seconds. Bytes are those of the image layers, each counted once.
 */
export function createImageFs(deps: {
  /** Folder whose file system holds images; a guess before the engine was reached. */
  imagesPath(): string;
  containersPath(): string;
  /** Bytes of all layers, each once. */
  layersBytes(): Promise<number>;
  /** Grows when images come and go. */
  revision(): number;
  clock: Clock;
  log: Logger;
}): { imageFsInfo(): Promise<{ imageFilesystems: FsFigures[]; containerFilesystems: FsFigures[] }> } {
  let known: { bytes: bigint; atMs: number; revision: number } | undefined;
  let asking = false;
  const refresh = async (): Promise<void> => {
    if (asking) return;
    const now = deps.clock.monotonicMs();
    if (known !== undefined) {
      const ageMs = now - known.atMs;
      const changed = known.revision !== deps.revision();
      if (ageMs < (changed ? changedRefreshMs : refreshMs)) return;
    }
    asking = true;
    try {
      const revision = deps.revision();
      const bytes = BigInt(Math.trunc(await deps.layersBytes()));
      known = { bytes, atMs: deps.clock.monotonicMs(), revision };
    } finally {
      asking = false;
    }
  };
  return {
    imageFsInfo: async () => {
      outsideCall(() => {
        refresh().catch((error: unknown) => {
          deps.log.debug({ error: errorText(error) }, "layer sizes are not known");
        });
      });
      const images = await figures(deps.imagesPath(), deps.clock, known?.bytes);
      const containers = await figures(deps.containersPath(), deps.clock, undefined);
      return { imageFilesystems: [images], containerFilesystems: [containers] };
    },
  };
}

/** The file system's own figures, with `usedBytes` in place of its bytes where that is known. */
async function figures(path: string, clock: Clock, usedBytes: bigint | undefined): Promise<FsFigures> {
  const stats = await statfs(path, { bigint: true }).catch(() => statfs("/", { bigint: true }));
  return {
    timestamp: clock.nowNs(),
    fsId: { mountpoint: path },
    usedBytes: { value: usedBytes ?? (stats.blocks - stats.bfree) * stats.bsize },
    inodesUsed: { value: stats.files - stats.ffree },
  };
}
