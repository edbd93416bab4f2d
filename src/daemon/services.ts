import { askedDigests } from "../convert/mirrors.ts";
import { isPinned, usesContainerdStore } from "../convert/pinned.ts";
import type { PinPolicy } from "../convert/pinned.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import type { Handlers } from "../cri/bind.ts";
import type { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { execEngine } from "./nri-parts.ts";
import type { Parts } from "./parts.ts";
import { workInfo } from "./verbose-info.ts";
import { containerCheckpoint } from "../rpc/container-checkpoint.ts";
import { containerCreate } from "../rpc/container-create.ts";
import { containerEvents } from "../rpc/container-events.ts";
import { containerRead } from "../rpc/container-read.ts";
import { containerStart } from "../rpc/container-start.ts";
import { containerStop } from "../rpc/container-stop.ts";
import { Criu, execAge } from "../containers/criu.ts";
import { execSync } from "../rpc/exec-sync.ts";
import { handlerFeatures } from "./handler-features.ts";
import { imageChange } from "../rpc/image-change.ts";
import { imageRead } from "../rpc/image-read.ts";
import { metricsRead } from "../rpc/metrics-read.ts";
import { runtimeStatus } from "../rpc/runtime-status.ts";
import { sandboxRead } from "../rpc/sandbox-read.ts";
import { sandboxLife } from "../rpc/sandbox-life.ts";
import { statsRead } from "../rpc/stats-read.ts";
import { streamingUrls } from "../rpc/streaming-urls.ts";
import { updateResources } from "../rpc/update-resources.ts";
import { createImageFs } from "../stats/image-fs.ts";

/** RuntimeService; what is not here yet answers UNIMPLEMENTED. */
export function runtimeHandlers(parts: Parts): Handlers<typeof RuntimeService> {
  return {
    ...runtimeStatus({
      ...parts,
      forwardPolicy: () => parts.forward.current(),
      oomScoreFloor: parts.oomFloor,
      hungLogs: () => parts.logs.lag().hung,
      verboseInfo: () => ({
        ...workInfo({
          pulls: parts.puller.running(),
          logs: parts.logs.lag(),
          sessions: parts.streaming.sessions(),
        }),
        docklineOci: editingInfo(parts),
        nri: parts.hooks.info(),
      }),
      handlerFeatures: (handler, self) =>
        // Of the same moment as the handlers' names: the engine may have been exchanged since.
        handlerFeatures(handler, self, editingRuntime(handler, parts.factsOf(self))),
      featuresKnown: (self) => parts.editing.first(self),
      mountOptions: (self) => editingRuntime("", parts.factsOf(self)) !== undefined,
    }),
    ...sandboxLife(parts),
    ...sandboxRead(parts),
    ...containerCreate(parts),
    ...containerStart(parts),
    ...containerStop(parts),
    ...containerRead(parts),
    ...containerEvents(parts),
    ...containerCheckpoint({ ...parts, criu: new Criu(parts.clock) }),
    ...updateResources(parts),
    ...statsRead({ ...parts, ...parts.stats }),
    ...metricsRead({
      ...parts,
      ...parts.stats,
      imageName: (entry) => imageNameOf(parts, entry),
    }),
    ...execSync({
      ...parts,
      engine: execEngine(parts.engine, parts.hooks),
      execAge: (pid, containerId, execId) => {
        const containerPid = parts.index.peek(containerId)?.state.Pid ?? 0;
        return execAge({ pid, execId, containerId, containerPid });
      },
    }),
    ...streamingUrls(parts),
  };
}

/** For operators: what there is of dockline-oci, or what is missing without it. */
function editingInfo(parts: Parts): object {
  const self = parts.info.peek();
  if (self === undefined) return {};
  const report = parts.editing.peek(self);
  return {
    edits: parts.edits.path,
    usable: report.runtimes,
    unusable: Object.fromEntries(report.unusable),
    ...(report.runtimes.length > 0
      ? {}
      : {
          missing:
            "user namespaces, id-mapped volumes, mount options, ambient capabilities, cgroup keys before the start; dockline install-runtime registers it",
        }),
  };
}

/** The image as ContainerStatus shows it; of a pause container, what it was created from. */
export function imageNameOf(parts: Pick<Parts, "views">, entry: ContainerEntry): string {
  if (entry.kind === "podsandbox") return entry.image;
  return parts.views.container(entry).image?.image ?? entry.image;
}

/** As root or as a volume: the engine knows nothing of copies. */
async function inUseByPod({ index }: Pick<Parts, "index">, imageId: string): Promise<boolean> {
  return [...(await index.containers()), ...(await index.sandboxes())].some(
    (entry) =>
      entry.imageId === imageId || entry.identity.extra.imageVolumes?.includes(imageId) === true,
  );
}

export function imageHandlers(parts: Parts): Handlers<typeof ImageService> {
  const policy = (): PinPolicy => {
    const self = parts.info.peek();
    return {
      pauseReference: parts.pause.reference,
      patterns: parts.config.pinnedImages,
      localImages:
        parts.config.pinLocalImages && self !== undefined
          ? { containerdStore: usesContainerdStore(self.info), apiMinor: self.apiMinor }
          : undefined,
    };
  };
  const imageFs = createImageFs({
    store: parts.stats.store,
    layersBytes: async () => {
      const { ImageUsage, LayersSize } = await parts.engine.diskUsage();
      return ImageUsage?.TotalSize ?? LayersSize ?? 0;
    },
    writableLayers: () => parts.stats.layers.total(),
    revision: () => parts.index.images.revision,
    clock: parts.clock,
    log: parts.log,
  });
  return {
    ...imageRead({
      images: parts.index.images,
      pinned: (image) => isPinned(image, policy()),
      alsoAsked: (repoDigest) => askedDigests(parts.mirrors, repoDigest),
      fsInfo: imageFs,
    }),
    ...imageChange({
      engine: parts.engine,
      images: parts.index.images,
      imagePuller: parts.imagePuller,
      locks: parts.locks,
      inUse: (imageId) => inUseByPod(parts, imageId),
      inUseByAny: async (imageId) =>
        (await inUseByPod(parts, imageId)) ||
        (await parts.engine.listContainers([])).some((found) => found.ImageID === imageId),
    }),
  };
}
