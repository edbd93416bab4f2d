import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ProcessError, runProcess } from "../sys/process.ts";
import type { RunResult } from "../sys/process.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { CniError } from "./cni-error.ts";
import type { CniFailure } from "./cni-error.ts";
import { isJsonObject } from "./conflist.ts";
import type { JsonObject } from "./conflist.ts";
import { findPlugin } from "./plugin-binary.ts";
import { PluginEnvironment } from "./plugin-environment.ts";
import type { CniVerb, PluginParameters } from "./plugin-environment.ts";

export interface PluginCall {
  type: string;
  verb: CniVerb;
  parameters: PluginParameters;
  /** The request configuration for stdin. */
  config: JsonObject;
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface PluginRunner {
  /** What the plugin printed on success. Throws CniError. */
  run(call: PluginCall): Promise<string>;
  /** What the plugin speaks, asked for the sake of `verb`. Throws CniError when it cannot be run. */
  versions(type: string, verb?: CniVerb): Promise<PluginVersions>;
}

export interface PluginVersions {
  known: readonly string[];
  /** What it did in place of answering VERSION: `known` is a guess then, or empty. */
  silence?: string;
}

const maxOutputBytes = 1 << 20;
const versionTimeoutMs = 10_000;
/** One that did not answer VERSION may have waited for something: it is asked again after this. */
const askAgainMs = 60_000;
const busyRetryMs = 200;
const busyRetries = 10;

/** Runs plugins out of `binDirs`, each through the one fork point. */
export function createPluginRunner(options: {
  binDirs: readonly string[];
  clock: Clock;
  /** Gets a debug line for each plugin that is run, with its input. */
  log?: Pick<Logger, "debug"> & { readonly debugs?: boolean };
  /** Handed on to plugins; default: this process's own. */
  environment?: Readonly<NodeJS.ProcessEnv>;
}): PluginRunner {
  const environment = new PluginEnvironment(options.environment ?? process.env, options.binDirs);
  // Keyed by the file's identity, so that an upgraded plugin is asked again.
  const versionsOfBinary = new Map<string, { versions: PluginVersions; untilMs: number }>();

  const logInput = ({ type, verb, parameters, config }: PluginCall): void => {
    // Masking costs, and every pod waits for its plugins.
    if (options.log === undefined || options.log.debugs === false) return;
    const { containerId: podId, netns, args } = parameters;
    const input = environment.shownInput(config);
    options.log.debug({ plugin: type, verb, podId, netns, args, input }, "CNI plugin");
  };

  const execute = async (path: string, call: PluginCall): Promise<RunResult> => {
    for (let retry = 0; ; retry += 1) {
      try {
        const result = await runProcess(path, [], {
          env: environment.of(call.verb, call.parameters),
          stdin: JSON.stringify(call.config),
          timeoutMs: call.timeoutMs,
          maxOutputBytes,
          cwd: "/",
          step: { kind: "cni", name: `${call.type} ${call.verb}` },
          ...(call.signal === undefined ? {} : { signal: call.signal }),
        });
        return isAnswer(result) ? result : environment.maskedResult(result);
      } catch (error) {
        // A plugin that is being replaced by an installer is busy for the length of the copy.
        if (!isTextFileBusy(error) || retry === busyRetries) throw fromProcess(error, call);
        await waiting(`${call.type} is being replaced`, () =>
          options.clock.sleep(busyRetryMs, call.signal),
        );
      }
    }
  };

  return {
    run: async (call) => {
      const binary = await findPlugin(call.type, options.binDirs, call.verb);
      logInput(call);
      const result = await execute(binary.path, call);
      if (result.exitCode !== 0) throw reportedError(call, result);
      return result.stdout;
    },

    versions: async (type, verb = "VERSION") => {
      const binary = await findPlugin(type, options.binDirs, verb);
      const nowMs = options.clock.monotonicMs();
      const kept = versionsOfBinary.get(binary.identity);
      if (kept !== undefined && nowMs < kept.untilMs) return kept.versions;
      const call: PluginCall = {
        type,
        verb: "VERSION",
        // Plugins built before 0.4.0 check these even for VERSION.
        parameters: { containerId: "dummy", netns: "dummy", ifName: "dummy" },
        config: { cniVersion: "1.1.0" },
        timeoutMs: versionTimeoutMs,
      };
      const versions = await askVersions(call, () => execute(binary.path, call));
      const untilMs = versions.silence === undefined ? Infinity : nowMs + askAgainMs;
      versionsOfBinary.set(binary.identity, { versions, untilMs });
      return versions;
    },
  };
}

async function askVersions(
  call: PluginCall,
  execute: () => Promise<RunResult>,
): Promise<PluginVersions> {
  try {
    return { known: readVersions(call, await execute()) };
  } catch (error) {
    if (!(error instanceof CniError) || error.failure === "spawn") throw error;
    // Plugins of the very first spec know no VERSION and say so.
    const isFirst = /unknown CNI_COMMAND/i.test(error.message);
    return { known: isFirst ? ["0.1.0"] : [], silence: error.message };
  }
}

function readVersions(call: PluginCall, result: RunResult): readonly string[] {
  if (result.exitCode !== 0) throw reportedError(call, result);
  const answer = parseAnswer(call, result.stdout);
  const supported = answer["supportedVersions"];
  const list: unknown[] = Array.isArray(supported) ? supported : [answer["cniVersion"]];
  const versions = list.filter((version): version is string => typeof version === "string");
  if (versions.length === 0) throw protocolError(call, "its answer names no version");
  return versions;
}

/** What a plugin has to answer, kept as it is; all else is shown to people. */
function isAnswer({ exitCode, stdout }: RunResult): boolean {
  if (exitCode !== 0 || stdout.trim() === "") return exitCode === 0;
  try {
    const answer: unknown = JSON.parse(stdout);
    return isJsonObject(answer) && answer["msg"] === undefined;
  } catch {
    return false;
  }
}

/** The JSON object that a plugin must print; throws CniError `protocol` for anything else. */
export function parseAnswer(call: { type: string; verb: string }, stdout: string): JsonObject {
  if (stdout.trim() === "") throw protocolError(call, "it printed nothing");
  let answer: unknown;
  try {
    answer = JSON.parse(stdout);
  } catch (cause) {
    throw protocolError(call, `its output is not JSON: ${excerpt(stdout)}`, cause);
  }
  if (!isJsonObject(answer)) throw protocolError(call, "its output is not a JSON object");
  return answer;
}

function protocolError(
  call: { type: string; verb: string },
  text: string,
  cause?: unknown,
): CniError {
  return new CniError({ plugin: call.type, verb: call.verb, failure: "protocol" }, text, { cause });
}

/** The error object that a failed plugin prints on stdout, or whatever it printed instead. */
function reportedError(call: PluginCall, result: RunResult): CniError {
  const about = { plugin: call.type, verb: call.verb, failure: "plugin" as CniFailure };
  try {
    const answer: unknown = JSON.parse(result.stdout);
    if (isJsonObject(answer) && typeof answer["msg"] === "string") {
      const details = answer["details"];
      const text = [answer["msg"], ...(typeof details === "string" ? [details] : [])]
        .filter((part) => part !== "")
        .map(excerpt)
        .join("; ");
      const code = answer["code"];
      return new CniError(
        typeof code === "number" ? { ...about, code } : about,
        text === "" ? `exit code ${result.exitCode}` : text,
      );
    }
  } catch {
    // Not the protocol's error object: a panic or a crash, told by its first words below.
  }
  const words = [result.stderr, result.stdout].map(excerpt).filter((part) => part !== "");
  return new CniError(
    { ...about, failure: "protocol" },
    `exit code ${result.exitCode} without an error object${words.length > 0 ? `: ${words.join("; ")}` : ""}`,
  );
}

function fromProcess(error: unknown, call: PluginCall): CniError {
  const reasons = { spawn: "spawn", timeout: "timeout", aborted: "aborted", output: "protocol" };
  const failure = error instanceof ProcessError ? reasons[error.reason] : "spawn";
  return new CniError(
    { plugin: call.type, verb: call.verb, failure: failure as CniFailure },
    errorText(error),
    { cause: error },
  );
}

function isTextFileBusy(error: unknown): boolean {
  const cause = error instanceof ProcessError ? error.cause : error;
  return (cause as { code?: unknown } | undefined)?.code === "ETXTBSY";
}

/** Plugin output is untrusted: one line, no control characters, bounded. */
function excerpt(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 512 ? `${line.slice(0, 509)}...` : line;
}
