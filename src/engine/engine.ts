/*
 * src/engine: Docker Engine in Dockline's own terms: requests, lanes, events, errors.
 * Not here: the CRI, and names or labels of pods. dockerode is known in this folder alone.
 */
import type { Duplex, Readable } from "node:stream";
import type { ImageInspect, ImageSummary, PullProgress, RegistryAuth } from "./image-types.ts";
import type {
  ContainerCreate,
  ContainerInspect,
  ContainerSummary,
  DiskUsage,
  EngineEvent,
  EngineInfo,
  EngineVersion,
  ExecInspect,
  ResourceConfig,
} from "./types.ts";

/** How long one request may take, and whose life it is tied to. */
export interface RequestOptions {
  /** Aborts the request: EngineError "aborted". */
  signal?: AbortSignal | undefined;
  /** Our own budget in ms: EngineError "timeout". Each call has a default of its own. */
  timeoutMs?: number;
}

/**
 * A hijacked connection: writes are the process's stdin (`end()` half-closes), reads its output;
 * without a tty the output is in Docker's 8-byte frames (engine/demux.ts). Destroying it closes the
 * connection; Docker leaves the process alone.
 */
export type HijackedStream = Duplex;

export interface ExecCreate {
  Cmd: string[];
  Tty: boolean;
  AttachStdin: boolean;
  AttachStdout: boolean;
  AttachStderr: boolean;
  DetachKeys?: string;
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  Privileged?: boolean;
}

export interface AttachOptions extends RequestOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** As Docker writes them, "ctrl-p,ctrl-q"; as bytes where a key is no text. */
  detachKeys: string | Uint8Array;
}

export interface PullOptions extends RequestOptions {
  /** Repository without tag or digest. */
  repository: string;
  /** Always given: no tag would pull every tag. A digest ("sha256:…") goes here as well. */
  tagOrDigest: string;
  auth?: RegistryAuth | undefined;
}

export interface EventOptions {
  signal: AbortSignal;
  onSubscribed: () => void;
  /** Engine time in nanoseconds since the epoch; undefined: only what is to come. */
  sinceNs?: bigint | undefined;
}

export interface EngineConnection {
  /** Negotiated API version as [major, minor]; undefined until the first connect. */
  apiVersion: readonly [number, number] | undefined;
}

export interface ArchiveStream extends Readable {
  /** Of a symbolic link: the path that all links together lead to, inside the container. */
  readonly linkTarget?: string;
}

/**
 * Docker Engine as Dockline uses it. Every method rejects with EngineError and with nothing else.
 * Ids and names are passed as given, escaped for the path. Requests are counted and traced by the
 * transport (`onRequest` of DockerEngine).
 */
export interface Engine {
  /** What is known of the engine without asking it. */
  readonly connection: EngineConnection;
  /** True when the negotiated API is at least this ("1.43" as 43). False while unknown. */
  supports(minor: number): boolean;

  /** Checks that the engine answers, and negotiates the API version again when it had been away. */
  ping(options?: RequestOptions): Promise<void>;
  version(options?: RequestOptions): Promise<EngineVersion>;
  info(options?: RequestOptions): Promise<EngineInfo>;
  diskUsage(options?: RequestOptions): Promise<DiskUsage>;

  createContainer(
    name: string,
    body: ContainerCreate,
    options?: RequestOptions,
  ): Promise<{ id: string; warnings: string[] }>;
  /** False when it was running already (304). */
  startContainer(id: string, options?: RequestOptions): Promise<boolean>;
  /** False when it was stopped already (304). The request's own deadline is graceSeconds + slack. */
  stopContainer(id: string, graceSeconds: number, options?: RequestOptions): Promise<boolean>;
  killContainer(id: string, signal: string, options?: RequestOptions): Promise<void>;
  /** force and v=1 (anonymous volumes) always. */
  removeContainer(id: string, options?: RequestOptions): Promise<void>;
  inspectContainer(idOrName: string, options?: RequestOptions): Promise<ContainerInspect>;
  /** All containers, whatever their state; `labels` are "key" or "key=value", AND-ed. */
  listContainers(labels: string[], options?: RequestOptions): Promise<ContainerSummary[]>;
  updateContainer(id: string, resources: ResourceConfig, options?: RequestOptions): Promise<void>;
  resizeContainer(id: string, width: number, height: number): Promise<void>;
  attachContainer(id: string, options: AttachOptions): Promise<HijackedStream>;
  /** Tar of one path in the container's file system; a link at its end is not followed. */
  readArchive(id: string, path: string, options?: RequestOptions): Promise<ArchiveStream>;

  createExec(containerId: string, body: ExecCreate, options?: RequestOptions): Promise<string>;
  startExec(execId: string, tty: boolean, options?: RequestOptions): Promise<HijackedStream>;
  inspectExec(execId: string, options?: RequestOptions): Promise<ExecInspect>;
  resizeExec(execId: string, width: number, height: number): Promise<void>;

  listImages(options?: RequestOptions): Promise<ImageSummary[]>;
  inspectImage(reference: string, options?: RequestOptions): Promise<ImageInspect>;
  /** Yields each progress message; an error in the stream is thrown as EngineError. */
  pullImage(options: PullOptions): AsyncIterable<PullProgress>;
  tagImage(reference: string, repository: string, tag: string): Promise<void>;
  removeImage(
    reference: string,
    options?: RequestOptions & { force?: boolean; noPrune?: boolean },
  ): Promise<void>;
  /** `docker save` of one image, by its id: a tar archive. */
  saveImage(reference: string, options?: RequestOptions): Promise<Readable>;
  /** `docker load` of a tar archive. */
  loadImage(archive: Readable, options?: RequestOptions): Promise<void>;

  /**
   * Follows events that match `filters` until the signal aborts or the stream breaks (then it
   * throws). `onSubscribed` is called once the engine has answered, which is a moment before it
   * listens to itself: only with `sinceNs` is nothing missed in between. Then the engine first
   * repeats what it remembers from that time on (of its last 256 events; none from before its start).
   */
  events(filters: Record<string, string[]>, options: EventOptions): AsyncIterable<EngineEvent>;
}
