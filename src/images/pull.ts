/*
 * src/images: pulls, mirrors, credentials, the embedded pause image, images as volumes.
 * Not here: the CRI: src/rpc and src/convert translate.
 */
import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/errors.ts";
import type { PullProgress, RegistryAuth } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import { unlessAborted } from "../sys/abort.ts";
import { beginStep } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";

export interface PullRequest {
  /** As the caller wrote it, for messages. */
  image: string;
  repository: string;
  tagOrDigest: string;
  auth?: RegistryAuth | undefined;
  /** Shortens the puller's own. */
  progressDeadlineMs?: number;
  signal: AbortSignal;
}

/** How far a running pull has come, for metrics, traces and verbose status. */
export interface PullState {
  /** As its caller wrote it, without user information. */
  image: string;
  /** Milliseconds since it began. */
  ageMs: number;
  phase: "connecting" | "downloading" | "extracting";
  /** Layers in place, and those that the engine has named so far. */
  layersDone: number;
  layersTotal: number;
  /** Compressed bytes; a layer's size is known when its download begins, so the total may grow. */
  downloadedBytes: number;
  totalBytes: number;
  /** PullImage calls that wait for it. */
  callers: number;
}

export interface Puller {
  /** Resolves when Docker has the image. Rejects with CriError, code UNKNOWN for registry failures. */
  pull(request: PullRequest): Promise<void>;
  running(): PullState[];
}

/**
 * Pulls with a deadline on *progress*: connecting to the registry and downloading must move on
 * within `progressDeadlineMs` (0 switches it off), while extraction, which is the disk's business,
 * may take its time. Equal pulls (same image and same credentials) share one request: a caller with
 * other credentials never gets their result. The request is closed when its last caller has left.
 */
export function createPuller(deps: {
  engine: Pick<Engine, "pullImage">;
  clock: Clock;
  progressDeadlineMs: number;
}): Puller {
  const flights = new Map<string, Flight>();
  /** Those given up, too, until the engine has ended them. */
  const running = new Set<Flight>();

  const begin = (key: string, request: PullRequest): Flight => {
    const controller = new AbortController();
    const state: Progress = {
      phase: "connecting",
      layersDone: 0,
      layersTotal: 0,
      downloadedBytes: 0,
      totalBytes: 0,
    };
    const flight: Flight = {
      image: withoutSecrets(request.image),
      startedAtMs: deps.clock.monotonicMs(),
      state,
      controller,
      callers: 0,
      result: run(request, state, controller).finally(() => {
        running.delete(flight);
        // One that was given up may have a successor by now.
        if (flights.get(key) === flight) flights.delete(key);
      }),
    };
    // Each caller awaits it on its own; with none left the rejection is nobody's.
    flight.result.catch(() => undefined);
    running.add(flight);
    flights.set(key, flight);
    return flight;
  };

  const run = async (
    request: PullRequest,
    state: Progress,
    controller: AbortController,
  ): Promise<void> => {
    const layers = new Map<string, Layer>();
    let lastProgressMs = deps.clock.monotonicMs();
    const stall = { seen: false };
    const deadlineMs = shorter(deps.progressDeadlineMs, request.progressDeadlineMs);
    const watch = setInterval(
      () => {
        if (state.phase === "extracting") return;
        if (deps.clock.monotonicMs() - lastProgressMs < deadlineMs) return;
        stall.seen = true;
        controller.abort();
      },
      Math.min(1000, Math.max(50, deadlineMs / 10)),
    );
    if (deadlineMs === 0) clearInterval(watch);
    try {
      const messages = deps.engine.pullImage({
        repository: request.repository,
        tagOrDigest: request.tagOrDigest,
        auth: request.auth,
        signal: controller.signal,
      });
      for await (const message of messages) {
        if (advance(message, state, layers)) lastProgressMs = deps.clock.monotonicMs();
      }
    } catch (error) {
      if (stall.seen) {
        throw new CriError(
          "Unknown",
          `RegistryUnavailable: pull ${request.image}: no progress for ${deadlineMs / 1000} s`,
        );
      }
      throw pullError(request, error);
    } finally {
      clearInterval(watch);
    }
  };

  return {
    running: () =>
      [...running].map(({ image, startedAtMs, state, callers }) => ({
        image,
        ageMs: Math.round(deps.clock.monotonicMs() - startedAtMs),
        ...state,
        callers,
      })),
    pull: async (request) => {
      request.signal.throwIfAborted();
      const key = JSON.stringify([request.repository, request.tagOrDigest, request.auth ?? null]);
      const joined = flights.get(key);
      // Its request to the engine is on the trace of the call that began it.
      const wait = joined === undefined ? undefined : beginStep("wait", "pull under way");
      const flight = joined ?? begin(key, request);
      flight.callers += 1;
      try {
        await unlessAborted(flight.result, request.signal);
      } finally {
        wait?.end();
        flight.callers -= 1;
        if (flight.callers === 0) {
          // The next caller must not join a request that is being closed.
          if (flights.get(key) === flight) flights.delete(key);
          flight.controller.abort();
        }
      }
    },
  };
}

type Progress = Omit<PullState, "image" | "ageMs" | "callers">;

interface Flight {
  readonly image: string;
  readonly startedAtMs: number;
  readonly state: Progress;
  controller: AbortController;
  callers: number;
  result: Promise<void>;
}

/** 0 means forever. */
function shorter(usualMs: number, wantedMs = 0): number {
  if (usualMs === 0 || wantedMs === 0) return usualMs + wantedMs;
  return Math.min(usualMs, wantedMs);
}

/** A layer that the engine announced, and how far it is. */
interface Layer {
  current: number;
  total: number;
  stage: "announced" | "downloaded" | "complete";
}

const announced = /^(Pulling fs layer|Waiting|Retrying)/;
const downloaded = /^(Download complete|Verifying|Extracting)/;
const complete = /^(Pull complete|Already exists)/;

/**
 * Takes one message in; true when it is progress. A repeated "Waiting" or "Retrying" is none. The
 * deadline rests only while layers are extracted and none is left to be downloaded: one may extract
 * while the next one waits for a registry that has gone silent, and when all are in place the
 * image's configuration may still be awaited, which has no message of its own.
 */
function advance(message: PullProgress, state: Progress, layers: Map<string, Layer>): boolean {
  const { id, status = "" } = message;
  if (id === undefined) return true;
  const layer = layers.get(id);
  let progress = true;
  if (status.startsWith("Downloading")) {
    const current = message.progressDetail?.current ?? 0;
    layers.set(id, { current, total: message.progressDetail?.total ?? 0, stage: "announced" });
    progress = current > (layer?.current ?? -1);
  } else if (announced.test(status)) {
    if (layer === undefined) layers.set(id, { current: 0, total: 0, stage: "announced" });
    else progress = false;
  } else if (downloaded.test(status) || complete.test(status)) {
    const total = layer?.total ?? 0;
    const stage = complete.test(status) ? "complete" : "downloaded";
    layers.set(id, { current: total, total, stage });
  }
  count(state, layers);
  const stages = new Set([...layers.values()].map(({ stage }) => stage));
  if (stages.size > 0) {
    const extracting = stages.has("downloaded") && !stages.has("announced");
    state.phase = extracting ? "extracting" : "downloading";
  }
  return progress;
}

function count(state: Progress, layers: Map<string, Layer>): void {
  state.layersTotal = layers.size;
  state.layersDone = sum(layers, ({ stage }) => Number(stage === "complete"));
  state.downloadedBytes = sum(layers, (layer) => layer.current);
  state.totalBytes = sum(layers, (layer) => layer.total);
}

function sum<T>(layers: Map<string, T>, value: (layer: T) => number): number {
  let total = 0;
  for (const layer of layers.values()) total += value(layer);
  return total;
}

const unavailable =
  /\b(429|500|502|503|504)\b|toomanyrequests|Too Many Requests|Bad Gateway|Service Unavailable|Gateway Timeout|connection refused|no such host|network is unreachable|no route to host|i\/o timeout|TLS handshake|Client\.Timeout|deadline exceeded|server misbehaving|connection reset|EOF$/i;
const signature = /signature|trust data|notary|not signed/i;

/**
 * The words that the kubelet matches, with code UNKNOWN: only that one it strips before it compares.
 * An engine that is away or silent is not the registry's failure and stays what it is.
 */
export function pullError(request: { image: string }, error: unknown): unknown {
  if (error instanceof CriError) return error;
  if (!(error instanceof EngineError)) return error;
  if (error.failure !== "status" && error.failure !== "protocol") return error;
  const said = errorText(error).replace(`${error.operation}: `, "");
  const text = withoutPage(withoutSecrets(said)).slice(0, 500);
  const message = `pull ${withoutSecrets(request.image)}: ${text}`;
  // A repository may be called notary and a tag 503.
  const cause = withoutNames(text, request.image);
  if (signature.test(cause))
    return new CriError("Unknown", `SignatureValidationFailed: ${message}`);
  if (unavailable.test(cause)) return new CriError("Unknown", `RegistryUnavailable: ${message}`);
  return new CriError("Unknown", noImage.test(text) ? `${message} (${artifact})` : message);
}

/** Docker's words for content of a registry that is no container image; 20.10's are the last two. */
const noImage =
  /unsupported media type|mismatched image rootfs|invalid rootfs in image|encountered remote "[^"]*"/i;
const artifact = "it may be an OCI artifact, which is not supported here";

/** Without URLs and without words that hold the image's own name. */
function withoutNames(text: string, image: string): string {
  const name = (image.split("/").at(-1) ?? image).replace(/[:@].*$/, "");
  const isName = (word: string): boolean =>
    word.includes("/") || (name !== "" && new Set(word.split(/[^\w.-]/)).has(name));
  return text
    .split(" ")
    .filter((word) => !isName(word))
    .join(" ");
}

/** What a proxy puts in place of a registry's answer is a page that helps nobody in an event. */
function withoutPage(text: string): string {
  const start = /"?<(?:!doctype|html|head|body)/i.exec(text)?.index;
  return start === undefined ? text : `${text.slice(0, start)}(an HTML page)`;
}

/** Drops user information and query strings of URLs: a registry's error may repeat them (T17). */
function withoutSecrets(text: string): string {
  return text
    .replaceAll(/\/\/[^/\s"@]+@/g, "//")
    .replaceAll(/(https?:\/\/[^\s"?]+)\?[^\s"]*/g, "$1");
}
