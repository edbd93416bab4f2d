import type { RunResult } from "../sys/process.ts";
import { annotationsCapability } from "./attachment.ts";
import type { JsonObject } from "./conflist.ts";

/** Not CHECK: no runtime asks for it between a pod's ADD and DEL, and nothing would follow from its answer. */
export type CniVerb = "ADD" | "DEL" | "GC" | "STATUS" | "VERSION";

/** The parameters that travel in the environment (CNI spec section 2). */
export interface PluginParameters {
  containerId?: string;
  netns?: string;
  ifName?: string;
  /** Already formatted, see cni-args.ts. */
  args?: string;
}

/** Where a service was started with no PATH at all. */
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Names of variables whose values nobody is to read in a log. */
const secretName = /pass|pwd$|secret|token|credential|auth|api_?key|access_?key|private_?key/i;
/** Shorter ones ("1", "true") would be masked all over a text. */
const shortestSecret = 6;

/**
 * The environment of plugins: the service's own as a whole, as libcni hands it on, since plugins and what
 * they start find programs by PATH and get proxies, KUBECONFIG or DATASTORE_* from the unit; then the
 * parameters of the call.
 */
export class PluginEnvironment {
  readonly #inherited: Record<string, string>;
  readonly #binDirs: readonly string[];
  readonly #secrets: readonly string[];

  constructor(inherited: Readonly<NodeJS.ProcessEnv>, binDirs: readonly string[]) {
    this.#inherited = { PATH: defaultPath };
    for (const [name, value] of Object.entries(inherited)) {
      if (value !== undefined) this.#inherited[name] = value;
    }
    this.#binDirs = binDirs;
    this.#secrets = secretsOf(this.#inherited);
  }

  of(verb: CniVerb, parameters: PluginParameters): Record<string, string> {
    return {
      ...this.#inherited,
      CNI_COMMAND: verb,
      CNI_CONTAINERID: parameters.containerId ?? "",
      CNI_NETNS: parameters.netns ?? "",
      CNI_IFNAME: parameters.ifName ?? "",
      CNI_ARGS: parameters.args ?? "",
      CNI_PATH: this.#binDirs.join(":"),
    };
  }

  /**
   * What a plugin gets on stdin, for people: values with a telling name, annotations of the pod and secrets
   * of the environment are masked.
   */
  shownInput(config: JsonObject): unknown {
    const shown: unknown = JSON.parse(
      JSON.stringify(config, (key, value: unknown) => {
        if (key === annotationsCapability) return "***";
        return secretName.test(key) && typeof value !== "object" ? "***" : value;
      }),
      (_, value: unknown) => (typeof value === "string" ? this.#masked(value) : value),
    );
    return shown;
  }

  /** What a plugin says may hold what it was given, and goes into logs, events and conditions. */
  maskedResult(result: RunResult): RunResult {
    const [stdout, stderr] = [this.#masked(result.stdout), this.#masked(result.stderr)];
    return { ...result, stdout, stderr };
  }

  #masked(text: string): string {
    return this.#secrets.reduce((shown, secret) => shown.replaceAll(secret, "***"), text);
  }
}

/** Values of variables with a telling name, and passwords in URLs (proxies). Longest first. */
function secretsOf(environment: Readonly<Record<string, string>>): string[] {
  const secrets = new Set<string>();
  for (const [name, value] of Object.entries(environment)) {
    if (secretName.test(name)) secrets.add(value);
    for (const [, password = ""] of value.matchAll(/:\/\/[^\s/@:]*:([^\s/@]+)@/g)) {
      secrets.add(password);
    }
  }
  return [...secrets]
    .filter((secret) => secret.length >= shortestSecret)
    .sort((one, other) => other.length - one.length);
}
