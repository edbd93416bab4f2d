import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/errors.ts";
import type { PullProgress, RegistryAuth } from "../engine/types.ts";
import { CriError, errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";

export interface PullRequest {
  /** As the caller wrote it, for messages. */
  image: string;
  repository: string;
  tagOrDigest: string;
  auth?: RegistryAuth | undefined;
  platform?: string;
  signal: AbortSignal;
}

/** How far a running pull has come, for metrics, traces and verbose status. */
export interface PullState {
  image: string;
  startedAtMs: number;
  phase: "connecting" | "downloading" | "extracting";
  downloadedBytes: number;
  totalBytes: number;
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
  const states = new Set<PullState>();

  const begin = (key: string, request: PullRequest): Flight => {
    const controller = new AbortController();
    const state: PullState = {
      image: request.image,
      startedAtMs: deps.clock.monotonicMs(),
      phase: "connecting",
      downloadedBytes: 0,
      totalBytes: 0,
    };
    states.add(state);
    const flight: Flight = {
      controller,
      callers: 0,
      result: run(request, state, controller).finally(() => {
        states.delete(state);
        flights.delete(key);
      }),
    };
    // Each caller awaits it on its own; with none left the rejection is nobody's.
    flight.result.catch(() => undefined);
    flights.set(key, flight);
    return flight;
  };

  const run = async (
    request: PullRequest,
    state: PullState,
    controller: AbortController,
  ): Promise<void> => {
    const layers = new Map<string, { current: number; total: number }>();
    let lastProgressMs = deps.clock.monotonicMs();
    const stall = { seen: false };
    const watch = setInterval(
      () => {
        if (state.phase === "extracting") return;
        if (deps.clock.monotonicMs() - lastProgressMs < deps.progressDeadlineMs) return;
        stall.seen = true;
        controller.abort();
      },
      Math.min(1000, Math.max(50, deps.progressDeadlineMs / 10)),
    );
    if (deps.progressDeadlineMs === 0) clearInterval(watch);
    try {
      const messages = deps.engine.pullImage({
        repository: request.repository,
        tagOrDigest: request.tagOrDigest,
        auth: request.auth,
        signal: controller.signal,
        ...(request.platform === undefined ? {} : { platform: request.platform }),
      });
      for await (const message of messages) {
        if (advance(message, state, layers)) lastProgressMs = deps.clock.monotonicMs();
      }
    } catch (error) {
      if (stall.seen) {
        throw new CriError(
          "Unknown",
          `RegistryUnavailable: pull ${request.image}: no progress for ${deps.progressDeadlineMs / 1000} s`,
        );
      }
      throw pullError(request, error);
    } finally {
      clearInterval(watch);
    }
  };

  return {
    running: () => [...states].map((state) => ({ ...state })),
    pull: async (request) => {
      request.signal.throwIfAborted();
      const key = JSON.stringify([
        request.repository,
        request.tagOrDigest,
        request.platform ?? "",
        request.auth ?? null,
      ]);
      const flight = flights.get(key) ?? begin(key, request);
      flight.callers += 1;
      try {
        await untilAborted(flight.result, request.signal);
      } finally {
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

interface Flight {
  controller: AbortController;
  callers: number;
  result: Promise<void>;
}

async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

/** Takes one message in; true when it is progress. A repeated "Waiting" or "Retrying" is none. */
function advance(
  message: PullProgress,
  state: PullState,
  layers: Map<string, { current: number; total: number }>,
): boolean {
  const status = message.status ?? "";
  if (status.startsWith("Extracting") || status.startsWith("Verifying")) {
    const already = state.phase === "extracting";
    // Layers still downloading keep their own deadline going through the branch below.
    if (!already && !downloadsPending(layers)) state.phase = "extracting";
    return true;
  }
  if (status.startsWith("Downloading") && message.id !== undefined) {
    state.phase = "downloading";
    const current = message.progressDetail?.current ?? 0;
    const before = layers.get(message.id)?.current ?? -1;
    layers.set(message.id, { current, total: message.progressDetail?.total ?? 0 });
    state.downloadedBytes = sum(layers, (layer) => layer.current);
    state.totalBytes = sum(layers, (layer) => layer.total);
    return current > before;
  }
  if (status.startsWith("Download complete") && message.id !== undefined) {
    const layer = layers.get(message.id);
    if (layer !== undefined) layers.set(message.id, { current: layer.total, total: layer.total });
    if (!downloadsPending(layers)) state.phase = "extracting";
    return true;
  }
  return !status.startsWith("Waiting") && !status.startsWith("Retrying");
}

function downloadsPending(layers: Map<string, { current: number; total: number }>): boolean {
  for (const layer of layers.values()) if (layer.current < layer.total) return true;
  return false;
}

function sum<T>(layers: Map<string, T>, value: (layer: T) => number): number {
  let total = 0;
  for (const layer of layers.values()) total += value(layer);
  return total;
}

const unavailable =
  /\b(429|500|502|503|504)\b|Too Many Requests|Bad Gateway|Service Unavailable|Gateway Timeout|connection refused|no such host|network is unreachable|no route to host|i\/o timeout|TLS handshake|Client\.Timeout|deadline exceeded|server misbehaving|connection reset|EOF$/i;
const signature = /signature|trust data|notary|not signed/i;

/** The words that the kubelet matches, with code UNKNOWN: only that one it strips before it compares. */
export function pullError(request: { image: string }, error: unknown): unknown {
  if (error instanceof CriError) return error;
  if (!(error instanceof EngineError)) return error;
  if (error.failure === "unreachable" || error.failure === "aborted") return error;
  const text = withoutSecrets(errorText(error)).slice(0, 1000);
  const message = `pull ${withoutSecrets(request.image)}: ${text}`;
  if (signature.test(text)) return new CriError("Unknown", `SignatureValidationFailed: ${message}`);
  if (unavailable.test(text)) return new CriError("Unknown", `RegistryUnavailable: ${message}`);
  return new CriError("Unknown", message);
}

/** Drops user information and query strings of URLs: a registry's error may repeat them (T17). */
function withoutSecrets(text: string): string {
  return text
    .replaceAll(/\/\/[^/\s"@]+@/g, "//")
    .replaceAll(/(https?:\/\/[^\s"?]+)\?[^\s"]*/g, "$1");
}
