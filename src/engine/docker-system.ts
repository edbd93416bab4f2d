import type Docker from "dockerode";
import type { Engine, EventOptions } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { oneLine } from "./error-text.ts";
import { maxEventBytes, parseEvent } from "./events.ts";
import { LineTooLong, readLines } from "./ndjson.ts";
import { objectWith, responseOf } from "./requests.ts";
import type { Requests } from "./requests.ts";
import { protocolError, toEngineError } from "./failures.ts";
import type { Transport } from "./transport.ts";
import type { EngineInfo, EngineVersion } from "./types.ts";

type SystemCalls = Pick<Engine, "ping" | "version" | "info" | "diskUsage" | "events">;

export function systemCalls(
  requests: Requests,
  transport: Transport,
  supports: (minor: number) => boolean,
): SystemCalls {
  return {
    ping: (options = {}) => transport.ping(options),

    version: (options) => {
      const operation = "read engine version";
      return requests.run({ operation, lane: "list", budgetMs: 10_000, options }, async (docker) =>
        objectWith<EngineVersion>(operation, "Version", await docker.version()),
      );
    },

    info: (options) => {
      const operation = "read engine info";
      return requests.run({ operation, lane: "list", budgetMs: 30_000, options }, async (docker) =>
        objectWith<EngineInfo>(operation, "DockerRootDir", await docker.info()),
      );
    },

    // Without `type` the engine also measures every container's layer.
    diskUsage: async (options) => {
      const operation = "read disk usage";
      const query = supports(42) ? { type: "image" } : {};
      return await requests.run(
        { operation, lane: "list", budgetMs: 120_000, options, query },
        async (docker) => {
          const answer = (await docker.df()) as unknown;
          if (typeof answer !== "object" || answer === null) {
            throw protocolError(operation, "not an object");
          }
          return answer;
        },
      );
    },

    events: (filters, options) => followEvents(requests, transport, filters, options),
  };
}

async function* followEvents(
  requests: Requests,
  transport: Pick<Transport, "heard">,
  filters: Record<string, string[]>,
  { signal, onSubscribed, sinceNs }: EventOptions,
): ReturnType<SystemCalls["events"]> & AsyncGenerator {
  const operation = "follow events";
  const since = sinceNs === undefined ? {} : { since: engineTime(sinceNs) };
  try {
    const stream = responseOf(
      operation,
      await requests.run(
        { operation, lane: "long", budgetMs: 30_000, options: { signal } },
        (docker) => docker.getEvents({ _query: { filters, ...since } } as Docker.GetEventsOptions),
      ),
    );
    onSubscribed();
    for await (const line of readLines(stream, maxEventBytes)) {
      const event = parseEvent(line);
      if (event === undefined) continue;
      transport.heard();
      yield event;
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof LineTooLong) throw protocolError(operation, error.message);
    throw toEngineError(error, operation);
  }
  if (signal.aborted) return;
  const message = `${operation}: ${oneLine("docker ended the event stream")}`;
  throw new EngineError({ failure: "unreachable", operation, message });
}

/** Seconds with nine decimals, which the engine reads exactly. */
function engineTime(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, "0")}`;
}
