import type { Config } from "../config/options.ts";
import { createGrpcServer, listen } from "../cri/listener.ts";
import { bindService } from "../cri/bind.ts";
import { createObserver } from "../cri/observe.ts";
import { endProcess, installCrashHandlers } from "./crash.ts";
import { createDiagnosis } from "./diagnosis.ts";
import { CriError, errorText } from "../errors.ts";
import { serveFacade } from "./facade-server.ts";
import { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { createLogger } from "../log.ts";
import type { Logger } from "../log.ts";
import { buildParts } from "./parts.ts";
import { imageHandlers, runtimeHandlers } from "./services.ts";
import { keepHouse } from "./housekeeping.ts";
import { createTracing } from "./tracing.ts";
import { ensurePrivateFolder } from "../sys/fs.ts";
import { lockFolder } from "../sys/instance-lock.ts";
import { notifyReady } from "../sys/notify.ts";
import { version } from "../version.ts";

/**
 * `dockline serve`: builds every part, serves until SIGTERM or SIGINT, ends in the opposite order.
 * Serves before Docker is there: the kubelet's first probes are answered, NotReady.
 */
export async function runDaemon(config: Config): Promise<number> {
  const log = createLogger({ level: config.logLevel as "info" });
  installCrashHandlers(log);
  // Ours are written 0600 and 0640 whatever the starter's umask was.
  process.umask(0o022);
  const signalled = untilSignalled();
  const closers: (() => unknown)[] = [];
  try {
    await ensurePrivateFolder(config.stateDir);
    const lock = lockFolder(config.stateDir);
    closers.push(() => lock.release());
    const parts = await buildParts(config, log);
    closers.push(() => parts.close());
    const tracing = await createTracing(config, parts, log);
    closers.push(() => tracing.close());
    process.on("SIGHUP", () => tracing.reopenFile());
    const diagnosis = createDiagnosis(config, parts, log, {
      callsInFlight: () => inFlight(),
      tracing: tracing.counts,
    });
    closers.push(() => diagnosis.close());
    const { observe, inFlight } = createObserver({
      log,
      onCall: diagnosis.onCall,
      trace: tracing.teller,
    });
    const server = createGrpcServer();
    for (const [service, handlers] of [
      [RuntimeService, runtimeHandlers(parts)],
      [ImageService, imageHandlers(parts)],
    ] as const) {
      const bound = bindService(service, handlers, { log, observe });
      server.addService(bound.definition, bound.implementation);
    }
    await parts.streaming.start();
    parts.index.start();
    parts.stats.start();
    await diagnosis.serve();
    const house = keepHouse(parts);
    closers.push(() => house.stop());
    // Before the CRI's own socket: whoever sees that one may start the kubelet, which looks here once.
    const facade = await serveFacade(config, parts, log);
    closers.push(() => facade?.close());
    const listener = await listen(server, config.containerRuntimeEndpoint, inFlight, log);
    closers.push(() => listener.close(config.drainTimeout));
    log.info({ version, pid: process.pid, docker: config.dockerEndpoint }, "dockline is up");
    notifyReady(process.env).catch((err: unknown) => {
      log.warn({ err }, "systemd could not be notified that dockline is up");
    });
    log.info({ signal: await signalled }, "stopping");
    return 0;
  } catch (error) {
    log.error({ err: error }, "dockline cannot run");
    process.stderr.write(`dockline: ${errorText(error)}\n`);
    // What no start can ever do with this configuration, as main.ts has it for what it finds itself.
    return error instanceof CriError && error.kind === "InvalidArgument" ? 2 : 1;
  } finally {
    await closeAll(closers, log);
    if (!(await log.written(1_000))) await endProcess(log, 1);
  }
}

/** In the opposite order of their start; what fails to close does not keep the others open. */
async function closeAll(closers: (() => unknown)[], log: Logger): Promise<void> {
  for (const close of closers.reverse()) {
    try {
      await close();
    } catch (err) {
      log.error({ err }, "a component could not be closed");
    }
  }
}

function untilSignalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => resolve(signal));
    }
    // Must not end Dockline: it asks for a new trace file only. A new configuration needs a restart.
    process.on("SIGHUP", () => undefined);
  });
}
