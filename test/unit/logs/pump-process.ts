import { silentLogger } from "../../../src/log.ts";
import type { LogTarget } from "../../../src/logs/container-logs.ts";
import { Pumps } from "../../../src/logs/pumps.ts";
import { systemClock } from "../../../src/sys/clock.ts";

// A process of its own for the tests that kill one: resumes (or starts) the target and says so.
const [stateDir = "", target = ""] = process.argv.slice(2);
const logs = new Pumps({ stateDir, clock: systemClock, log: silentLogger });
await logs.start({ ...(JSON.parse(target) as LogTarget), running: true });
process.stdout.write("following\n");
setInterval(() => undefined, 1000);
