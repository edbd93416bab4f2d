/** A process that logs at changing levels and in both forms, for log.test.ts. */
import { createLogger } from "../../../src/log.ts";

const log = createLogger({ level: "info" });
const child = log.child({ rpc: "StopContainer" });
log.nameBy((fields) => ("containerId" in fields ? { pod: "web", namespace: "shop" } : {}));
child.debug({ n: 1 }, "not yet");
child.info({ n: 2, containerId: "c1" }, "call");
log.configure({ level: "debug", format: "text" });
child.debug({ n: 3, containerId: "c1", pod: "its own" }, "call");
log.error({ err: new Error('two "words"\nand lines') }, "failed");
log.configure({ level: "silent", format: "text" });
child.error({ n: 4 }, "never");
await log.written(10_000);
