/** A process that logs more than anybody reads, and says on stderr what became of it. */
import { createLogger } from "../../../src/log.ts";

const log = createLogger({ level: "info" });
const text = "x".repeat(1000);
let lines = 0;
const writer = setInterval(() => {
  for (let n = 0; n < 200; n += 1) log.info({ n: lines++, text }, "line");
  if (lines < 10_000) return;
  clearInterval(writer);
  void log.written(100).then((written) => {
    process.stderr.write(`${JSON.stringify({ lines, written })}\n`);
  });
}, 5);
