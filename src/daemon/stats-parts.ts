import { errorText } from "../errors.ts";
import type { EngineSelf } from "../engine/info-cache.ts";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import { usesContainerdStore } from "../convert/pinned.ts";
import { targetOf } from "../figures/pod-figures.ts";
import { imageStoreFolder } from "../stats/image-store.ts";
import type { StoreFacts } from "../stats/image-store.ts";
import { upperDirOf } from "../stats/layer-path.ts";
import { LayerSizes } from "../stats/layer-sizes.ts";
import { Sampler } from "../stats/sampler.ts";
import type { Clock } from "../sys/clock.ts";

/** Everything about figures, wired to the index. */
export interface StatsParts {
  sampler: Sampler;
  layers: LayerSizes;
  store: () => StoreFacts;
  /** Folder whose file system has images and writable layers. */
  layerFolder: () => string;
  noteLayer: (entry: ContainerEntry) => void;
  /** Begins the readings and walks in the background. */
  start(): void;
  close(): Promise<void>;
}

/** Finding containerd's folder reads the mount table: it does not move. */
const folderRefreshMs = 60_000;

export function buildStats(deps: {
  index: ContainerIndex;
  /** What the engine says of itself, as last known. */
  engine(): EngineSelf | undefined;
  clock: Clock;
  log: Logger;
}): StatsParts {
  const { index, clock, log } = deps;
  const layers = new LayerSizes({ clock, log });

  const noteLayer = (entry: ContainerEntry): void => {
    if (entry.kind !== "container") return;
    if (!layers.tracked(entry.id)) {
      const target = targetOf(entry);
      const path =
        entry.inspect?.GraphDriver?.Data?.["UpperDir"] ??
        (target === undefined ? undefined : upperDirOf(target.pid));
      if (path === undefined) return;
      layers.track(entry.id, path);
    }
    // By its state and not by its pid, which under load is known a moment after the start was reported:
    // a layer that was treated as a stopped container's then would never be walked again.
    layers.changed(entry.id, entry.state.Running);
  };

  const sampler = new Sampler({
    clock,
    running: async () => {
      const entries = [...(await index.sandboxes()), ...(await index.containers())];
      entries.forEach(noteLayer);
      return entries.map(targetOf).filter((target) => target !== undefined);
    },
  });

  const unsubscribe = index.onChange(({ kind, entry }) => {
    if (kind === "stopped" || kind === "deleted") sampler.drop(entry.id);
    if (kind === "deleted") layers.drop(entry.id);
    if (kind === "stopped" || kind === "started") layers.changed(entry.id, kind === "started");
  });

  const store = (): StoreFacts => {
    const self = deps.engine();
    return {
      dockerRootDir: self?.info.DockerRootDir ?? "/var/lib/docker",
      driver: self?.info.Driver ?? "",
      containerdStore: self !== undefined && usesContainerdStore(self.info),
      containerdAddress: self?.info.Containerd?.Address ?? "",
    };
  };
  let folder: { path: string; root: string; atMs: number } | undefined;

  return {
    sampler,
    layers,
    store,
    noteLayer,
    layerFolder: () => {
      const facts = store();
      const atMs = clock.monotonicMs();
      if (folder?.root !== facts.dockerRootDir || atMs - folder.atMs > folderRefreshMs) {
        folder = { path: imageStoreFolder(facts), root: facts.dockerRootDir, atMs };
      }
      return folder.path;
    },
    start: () => {
      layers.start();
      sampler.start((error) => {
        log.debug({ error: errorText(error) }, "no readings while the engine is away");
      });
    },
    close: async () => {
      unsubscribe();
      sampler.close();
      await layers.close();
    },
  };
}
