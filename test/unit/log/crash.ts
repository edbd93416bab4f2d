/** A process that is struck by an exception in a timer. The argument says what else it does. */
import { installCrashHandlers } from "../../../src/daemon/crash.ts";
import { createLogger } from "../../../src/log.ts";

const log = createLogger({ level: process.argv[2] === "silent" ? "silent" : "info" });
installCrashHandlers(log);
if (process.argv[2] === "unread") {
  for (let n = 0; n < 2_000; n += 1) log.info({ text: "x".repeat(1000) }, "line");
}
if (process.argv[2] === "rejection") void Promise.reject(new Error("nobody waits"));
setTimeout(() => {
  if (process.argv[2] === "rejection") process.exit(0);
  throw new Error("out of a timer");
}, 50);
setInterval(() => undefined, 1_000);
