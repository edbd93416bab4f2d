/*
 * src/daemon: the wiring of `dockline serve`: start and stop order, the parts and how they are put
 * together, what happens between calls.
 * Not here: behaviour of a call. This folder may import all others, and none imports it.
 */
import type { LoadedConfig } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { plainConfig } from "../config/reference.ts";
import { createGrpcServer, listen } from "../cri/listener.ts";
import { bindService } from "../cri/bind.ts";
import { createObserver } from "../cri/observe.ts";
import { endProcess, installCrashHandlers } from "./crash.ts";
import { createDiagnosis } from "./diagnosis.ts";
import { CriError, errorText } from "../errors.ts";
import { serveFacade } from "./facade-server.ts";
import { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { createLogger } from "../log.ts";
import type { Logger, ProcessLogger } from "../log.ts";
import { nameTarget, namesFrom } from "./log-names.ts";
import { buildParts } from "./parts.ts";
import type { Parts } from "./parts.ts";
import { Readiness } from "./readiness.ts";
import { logOptions, reload } from "./reload.ts";
import { imageHandlers, runtimeHandlers } from "./services.ts";
import { keepHouse } from "./housekeeping.ts";
import { createTracing } from "./tracing.ts";
import { ensurePrivateFolder } from "../sys/fs.ts";
import { lockFolder } from "../sys/instance-lock.ts";
import { notifyReady } from "../sys/notify.ts";
import { endWorkers } from "../sys/watched-worker.ts";
import { complain } from "../sys/terminal.ts";
import { version } from "../version.ts";

/** For threads to end: on a busy node that takes a while, and one that hangs must not keep the process for 5 s. */
const WORKERS_MS = 2_000;

/**
 * `dockline serve`: builds every part, serves until SIGTERM or SIGINT, ends in the opposite order.
 * Serves before Docker is there: the kubelet's first probes are answered, NotReady.
 *
 * @param reread the configuration as it is now, for SIGHUP
 */
export async function runDaemon(loaded: LoadedConfig, reread: () => LoadedConfig): Promise<number> {
  const { config } = loaded;
  const log = createLogger(logOptions(config));
  installCrashHandlers(log);
  // Ours are written 0600 and 0640 whatever the starter's umask was.
  process.umask(0o022);
  const signalled = untilSignalled();
  const closers: (() => unknown)[] = [];
  let exitCode = 0;
  try {
    log.info({ version, pid: process.pid, node: process.version }, "dockline is starting");
    log.debug({ config: plainConfig(loaded) }, "the configuration in force");
    await ensurePrivateFolder(config.stateDir);
    const lock = lockFolder(config.stateDir);
    closers.push(() => lock.release());
    const parts = await buildParts(config, log);
    closers.push(() => parts.close());
    log.nameBy(namesFrom(parts.index));
    logRequests(parts, log);
    const tracing = await createTracing(config, parts, log);
    closers.push(() => tracing.close());
    process.on("SIGHUP", () => {
      tracing.reopenFile();
      reload(config, reread, log);
    });
    const diagnosis = createDiagnosis(config, parts, log, {
      callsInFlight: () => inFlight(),
      tracing: tracing.counts,
    });
    closers.push(() => diagnosis.close());
    const { observe, inFlight } = createObserver({
      log,
      name: (target) => nameTarget(parts.index, target),
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
    await of("streamingBindAddr", parts.streaming.start());
    parts.index.start();
    parts.stats.start();
    await of("metricsBindAddr", diagnosis.serve());
    const house = keepHouse(parts);
    closers.push(() => house.stop());
    await parts.hooks.start();
    closers.push(() => parts.hooks.close());
    // Before the CRI's own socket: whoever sees that one may start the kubelet, which looks here once.
    const facade = await serveFacade(config, parts, log);
    closers.push(() => facade?.close());
    const listener = await listen(server, config.containerRuntimeEndpoint, inFlight);
    closers.push(() => listener.close(config.drainTimeout));
    log.info(
      { endpoint: config.containerRuntimeEndpoint, docker: config.dockerEndpoint },
      "serving the CRI",
    );
    const readiness = watchReadiness(parts, log);
    closers.push(() => readiness.stop());
    notifyReady(process.env).catch((err: unknown) => {
      log.warn({ err }, "systemd could not be notified that dockline serves");
    });
    log.info({ signal: await signalled }, "stopping");
  } catch (error) {
    exitCode = failed(error, log);
  }
  await closeAll(closers, log);
  if (exitCode === 0) log.info({}, "stopped");
  const ended = await endWorkers(WORKERS_MS);
  if (!ended || !(await log.written(1_000))) await endProcess(log, 1, "", ended);
  return exitCode;
}

/** Says why, in the log and to who started it. What no start can ever do with this configuration is 2. */
function failed(error: unknown, log: Logger): number {
  // A stack is of use for a defect only.
  const defect = error instanceof TypeError || error instanceof ReferenceError;
  log.error({ error: errorText(error), ...(defect ? { err: error } : {}) }, "dockline cannot run");
  complain(errorText(error));
  return error instanceof CriError && error.kind === "InvalidArgument" ? 2 : 1;
}

/** An address that cannot be used is reported with the option that names it. */
async function of(option: keyof Config, listening: Promise<void>): Promise<void> {
  try {
    await listening;
  } catch (error) {
    if (error instanceof CriError) throw error;
    throw new CriError("FailedPrecondition", `${option}: ${errorText(error)}`, { cause: error });
  }
}

/** Each request without its body, which may hold what pods have in their environment. */
function logRequests(parts: Parts, log: ProcessLogger): void {
  parts.requestListeners.add(({ method, route, status, durationMs, failure }) => {
    if (!log.debugs) return;
    const durMs = Math.round(durationMs * 10) / 10;
    log.debug({ request: `${method} ${route}`, status, durMs, failure }, "Docker request");
  });
}

function watchReadiness(parts: Parts, log: Logger): { stop(): void } {
  const { index, network, clock } = parts;
  return new Readiness({
    ...{ network, log },
    health: () => index.health,
    monotonicMs: () => clock.monotonicMs(),
  }).start();
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
    // Must not end Dockline before it is there to read its configuration again.
    process.on("SIGHUP", () => undefined);
  });
}
