import type { LogLag } from "./container-logs.ts";
import type { HungPath } from "./hung-path.ts";

const noLag: LogLag = {
  ...{ containers: 0, bytesBehind: 0, hung: [] },
  ...{ lostBytes: 0n, pumpedBytes: 0n, unreadableLines: 0n },
};

/** The figures of the thread that works, and the sums of those that have ended. */
export class LagSums {
  /** As the thread said last. */
  current = noLag;
  #past = noLag;

  /** The thread works no more. */
  ended(): void {
    this.#past = { ...noLag, ...this.#sums() };
    this.current = noLag;
  }

  /** @param hung their containers are followed too, by nobody for now */
  with(hung: Iterable<HungPath>): LogLag {
    const { containers, bytesBehind } = this.current;
    const all = [...hung];
    return {
      containers: all.reduce((sum, { leftOut }) => sum + leftOut.size, containers),
      bytesBehind,
      ...this.#sums(),
      hung: [...new Set(all.map(({ place }) => place))],
    };
  }

  #sums(): Pick<LogLag, "lostBytes" | "pumpedBytes" | "unreadableLines"> {
    const { lostBytes, pumpedBytes, unreadableLines } = this.current;
    return {
      lostBytes: this.#past.lostBytes + lostBytes,
      pumpedBytes: this.#past.pumpedBytes + pumpedBytes,
      unreadableLines: this.#past.unreadableLines + unreadableLines,
    };
  }
}
