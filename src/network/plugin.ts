import { errorText } from "../errors.ts";
import { ProcessError, runProcess } from "../sys/process.ts";
import type { RunResult } from "../sys/process.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { CniError } from "./cni-error.ts";
import type { CniFailure } from "./cni-error.ts";
import { isJsonObject } from "./conflist.ts";
import type { JsonObject } from "./conflist.ts";
import { findPlugin } from "./plugin-binary.ts";

export type CniVerb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** The parameters that travel in the environment (CNI spec section 2). */
export interface PluginParameters {
  containerId?: string;
  netns?: string;
  ifName?: string;
  /** Already formatted, see cni-args.ts. */
  args?: string;
}

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
  /** The spec versions that the plugin speaks. Throws CniError. */
  versions(type: string): Promise<readonly string[]>;
}

const pluginPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const maxOutputBytes = 1 << 20;
const versionTimeoutMs = 10_000;
const busyRetryMs = 200;
const busyRetries = 10;

/** Runs plugins out of `binDirs`, each through the one fork point and in a clean environment. */
export function createPluginRunner(options: {
  binDirs: readonly string[];
  clock: Clock;
}): PluginRunner {
  // Keyed by the file's identity, so that an upgraded plugin is asked again.
  const versionsOfBinary = new Map<string, readonly string[]>();

  const environment = (verb: CniVerb, parameters: PluginParameters): Record<string, string> => ({
    PATH: pluginPath,
    CNI_COMMAND: verb,
    CNI_CONTAINERID: parameters.containerId ?? "",
    CNI_NETNS: parameters.netns ?? "",
    CNI_IFNAME: parameters.ifName ?? "",
    CNI_ARGS: parameters.args ?? "",
    CNI_PATH: options.binDirs.join(":"),
  });

  const execute = async (path: string, call: PluginCall): Promise<RunResult> => {
    for (let retry = 0; ; retry += 1) {
      try {
        return await runProcess(path, [], {
          env: environment(call.verb, call.parameters),
          stdin: JSON.stringify(call.config),
          timeoutMs: call.timeoutMs,
          maxOutputBytes,
          cwd: "/",
          step: { kind: "cni", name: `${call.type} ${call.verb}` },
          ...(call.signal === undefined ? {} : { signal: call.signal }),
        });
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
      const result = await execute(binary.path, call);
      if (result.exitCode !== 0) throw reportedError(call, result);
      return result.stdout;
    },

    versions: async (type) => {
      const binary = await findPlugin(type, options.binDirs, "VERSION");
      const known = versionsOfBinary.get(binary.identity);
      if (known !== undefined) return known;
      const call: PluginCall = {
        type,
        verb: "VERSION",
        // Plugins built before 0.4.0 check these even for VERSION.
        parameters: { containerId: "dummy", netns: "dummy", ifName: "dummy" },
        config: { cniVersion: "1.1.0" },
        timeoutMs: versionTimeoutMs,
      };
      const found = readVersions(call, await execute(binary.path, call));
      versionsOfBinary.set(binary.identity, found);
      return found;
    },
  };
}

function readVersions(call: PluginCall, result: RunResult): readonly string[] {
  if (result.exitCode !== 0) {
    const error = reportedError(call, result);
    // Plugins of the very first spec know no VERSION and say so.
    if (/unknown CNI_COMMAND/i.test(error.message)) return ["0.1.0"];
    throw error;
  }
  const answer = parseAnswer(call, result.stdout);
  const supported = answer["supportedVersions"];
  const list: unknown[] = Array.isArray(supported) ? supported : [answer["cniVersion"]];
  const versions = list.filter((version): version is string => typeof version === "string");
  if (versions.length === 0) throw protocolError(call, "its answer names no version");
  return versions;
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
