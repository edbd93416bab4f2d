import type { ResumedLog } from "./container-logs.ts";
import type { LogCalls, LogMethod, PlainError, ToLogWorker } from "./worker-messages.ts";
import { thrown } from "./worker-messages.ts";

/** A call that so many threads ended with is not given to a further one. */
const MOST_TRIES = 3;

/** The log of the container is on a file system that hangs. */
export class LeftOut extends Error {}

interface Call {
  method: LogMethod;
  args: unknown[];
  tries: number;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** What the thread of the logs was asked and has not answered: a thread that takes over is asked again. */
export class WorkerCalls {
  readonly #calls = new Map<number, Call>();
  #last = 0;

  /** @param post to the thread; does nothing while there is none: `again` asks the next one */
  ask<M extends LogMethod>(
    method: M,
    args: LogCalls[M]["args"],
    post: (message: ToLogWorker) => void,
  ): Promise<LogCalls[M]["result"]> {
    this.#last += 1;
    const number = this.#last;
    return new Promise<unknown>((resolve, reject) => {
      this.#calls.set(number, { method, args, tries: 1, resolve, reject });
      post({ call: number, method, args });
    }) as Promise<LogCalls[M]["result"]>;
  }

  answered(number: number, value: unknown, error: PlainError | undefined): void {
    const call = this.#calls.get(number);
    this.#calls.delete(number);
    if (error === undefined) call?.resolve(value);
    else call?.reject(thrown(error));
  }

  /** Those that concern logs which a thread hangs on are answered with LeftOut; a removal touches none. */
  leaveOut(isLeftOut: (containerId: string, target?: ResumedLog) => boolean): void {
    for (const [number, { method, args, reject }] of this.#calls) {
      if (!/^(start|drain|reopen)$/.test(method)) continue;
      const target = method === "start" ? (args[0] as ResumedLog) : undefined;
      if (!isLeftOut(target?.containerId ?? (args[0] as string), target)) continue;
      this.#calls.delete(number);
      reject(new LeftOut());
    }
  }

  /** No thread is there for now: who would wait under a lock is answered. A removal needs no more than that. */
  leaveAll(): void {
    for (const [number, { method, resolve, reject }] of this.#calls) {
      if (!/^(start|reopen|remove)$/.test(method)) continue;
      this.#calls.delete(number);
      if (method === "remove") resolve(undefined);
      else reject(new LeftOut());
    }
  }

  /**
   * Asks a further thread all that is open, in the order it was asked. What goes on with all logs together is
   * asked of it by `goOn` instead, whose end answers those calls.
   */
  again(post: (message: ToLogWorker) => void, goOn: () => Promise<undefined>): void {
    const open = [...this.#calls];
    const ofAll: Call[] = [];
    for (const [number, call] of open) {
      if (call.method !== "resume" && call.method !== "adopt") continue;
      this.#calls.delete(number);
      ofAll.push(call);
    }
    goOn().then(
      () => {
        for (const call of ofAll) call.resolve(undefined);
      },
      (error: unknown) => {
        for (const call of ofAll) call.reject(error as Error);
      },
    );
    for (const [number, call] of open) {
      if (ofAll.includes(call)) continue;
      call.tries += 1;
      if (call.tries <= MOST_TRIES) post({ call: number, method: call.method, args: call.args });
      else {
        this.#calls.delete(number);
        call.reject(new Error("the thread that writes container logs ended several times"));
      }
    }
  }

  /** Nobody answers any more. */
  close(): void {
    for (const { reject } of this.#calls.values()) reject(new Error("container logs are closed"));
    this.#calls.clear();
  }
}
