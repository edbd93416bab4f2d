import type { PullState } from "../images/pull.ts";
import type { LogLag } from "../logs/container-logs.ts";

/**
 * What of the running work `crictl info` shows. Each part is an object: crictl prints an object as JSON and everything
 * else as text.
 */
export function workInfo(work: { pulls: readonly PullState[]; logs: LogLag; sessions: number }): {
  pulls: object;
  logs: object;
  streams: object;
} {
  const { lostBytes, pumpedBytes, unreadableLines, ...logs } = work.logs;
  return {
    pulls: { running: work.pulls },
    logs: {
      ...logs,
      // A double holds the bytes of nine thousand terabytes to the byte.
      lostBytes: Number(lostBytes),
      pumpedBytes: Number(pumpedBytes),
      unreadableLines: Number(unreadableLines),
    },
    streams: { open: work.sessions },
  };
}
