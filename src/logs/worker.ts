import { parentPort } from "node:worker_threads";
import type { Logger } from "../log.ts";
import { systemClock } from "../sys/clock.ts";
import { TouchedPath } from "../sys/touched-path.ts";
import { areYouThere, type WorkerStart } from "../sys/worker-start.ts";
import { Pumps } from "./pumps.ts";
import { plain, thrown } from "./worker-messages.ts";
import type {
  FromLogWorker,
  LogCalls,
  LogMethod,
  LogWorkerData,
  ToLogWorker,
} from "./worker-messages.ts";

/** The thread that writes the logs of all containers, with synchronous I/O; `worker-logs.ts` is its other end. */
export function run(start: WorkerStart): void {
  const port = parentPort;
  if (port === null) throw new Error("the log worker is no thread");
  const { stateDir } = start.data as LogWorkerData;
  const touched = new TouchedPath(start.touched);
  const send = (message: FromLogWorker): void => {
    port.postMessage(message);
  };
  /** Another thread works on everything else by then: this one ends here, whoever called. */
  const endIfGivenUp = (): void => {
    if (touched.isGivenUp) process.exit();
  };
  const asked = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  let asks = 0;
  const pumps = new Pumps({
    stateDir,
    clock: systemClock,
    log: loggerTo(send),
    resumes: true,
    mustAnswer: (folder) =>
      new Promise((resolve, reject) => {
        asks += 1;
        asked.set(asks, { resolve, reject });
        send({ asks, folder });
      }),
    touch: (path) => {
      touched.touch(path);
      endIfGivenUp();
    },
  });
  const calls: { [M in LogMethod]: (...args: LogCalls[M]["args"]) => Promise<unknown> } = {
    start: (target) => pumps.start(target),
    drain: (containerId, timeoutMs) => pumps.drain(containerId, timeoutMs),
    reopen: (containerId) => pumps.reopen(containerId),
    remove: (containerId) => pumps.remove(containerId),
    resume: (targets, kept) => pumps.resume(targets, kept),
    adopt: (targets) => pumps.adopt(targets),
    close: () => pumps.close(),
  };
  port.on("message", (message: ToLogWorker | typeof areYouThere) => {
    endIfGivenUp();
    if (message === areYouThere) {
      send({ lag: pumps.lag() });
      port.postMessage(areYouThere);
    } else if ("answers" in message) {
      const { answers, error } = message;
      const waiting = asked.get(answers);
      asked.delete(answers);
      if (error === undefined) waiting?.resolve();
      else waiting?.reject(thrown(error));
    } else {
      const { call, method, args } = message;
      const work = calls[method] as (...args: unknown[]) => Promise<unknown>;
      work(...args).then(
        (value) => {
          send({ result: call, value });
        },
        (error: unknown) => {
          send({ result: call, error: plain(error) });
        },
      );
    }
  });
}

function loggerTo(send: (message: FromLogWorker) => void): Logger {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (fields: object, msg: string): void => {
      send({ level, fields, msg });
    };
  const log: Logger = {
    ...{ debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    child: () => log,
  };
  return log;
}
