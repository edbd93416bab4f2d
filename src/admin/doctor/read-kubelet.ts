import { parse as parseYaml } from "yaml";
import { errorText } from "../../errors.ts";
import { readTextIfExists } from "../../sys/fs.ts";
import { editFlags } from "../kubelet-flags.ts";
import { flagOf } from "../migrate-node.ts";
import type { FoundProcess } from "../migrate-node.ts";
import type { KubeletFacts } from "./facts.ts";

const defaults = {
  flags: ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"],
  config: "/var/lib/kubelet/config.yaml",
};

export interface KubeletSources {
  /** Given by the operator; then nothing else is looked at. */
  flags: string | undefined;
  config: string | undefined;
  running(): readonly FoundProcess[];
  /** What its program says of its version; "" when there is none. */
  version(program: string): Promise<string>;
}

/** Flags win over the configuration file, as in the kubelet; a running one tells both. */
export async function readKubelet(sources: KubeletSources): Promise<KubeletFacts> {
  const chosen = sources.flags !== undefined || sources.config !== undefined;
  const running = chosen ? undefined : sources.running()[0];
  const troubles: string[] = [];
  const read: string[] = [];
  const flagTexts: { from: string; text: string }[] = [];
  for (const path of chosen ? [sources.flags] : defaults.flags) {
    if (path === undefined) continue;
    const text = await readIfAllowed(path, troubles);
    if (text !== undefined) flagTexts.push({ from: path, text });
    else if (chosen) troubles.push(`${path} is not there`);
  }
  read.push(...flagTexts.map(({ from }) => from));
  const args: { from: string; args: readonly string[] }[] = flagTexts.map(({ from, text }) => ({
    from,
    args: wordsOf(text),
  }));
  if (running !== undefined) {
    args.unshift({ from: `the running kubelet, pid ${running.pid}`, args: running.args });
  }
  const flag = (name: string): { value: string; from: string } | undefined => {
    for (const { from, args: words } of args) {
      const value = flagOf(words, name);
      if (value !== undefined) return { value, from };
    }
    return undefined;
  };
  const configPath =
    sources.config ?? (chosen ? undefined : (flag("--config")?.value ?? defaults.config));
  const config = configPath === undefined ? undefined : await readConfig(configPath, troubles);
  if (config === undefined && sources.config !== undefined)
    troubles.push(`${sources.config} is not there`);
  if (config !== undefined && configPath !== undefined) read.push(configPath);
  if (running !== undefined) read.push(`the running kubelet, pid ${running.pid}`);
  const field = (key: string): { value: string; from: string } | undefined => {
    const value = config?.[key];
    return typeof value === "string" && value !== ""
      ? { value, from: configPath ?? "" }
      : undefined;
  };
  const endpoint = flag("--container-runtime-endpoint") ?? field("containerRuntimeEndpoint");
  const cgroupDriver = flag("--cgroup-driver") ?? field("cgroupDriver");
  const failCgroupV1 = flag("--fail-cgroupv1")?.value ?? config?.["failCgroupV1"];
  const mayUseV1 = failCgroupV1 === false || failCgroupV1 === "false";
  const said = chosen ? "" : await sources.version(programOf(running));
  const minor = /^Kubernetes v1\.(\d+)\./.exec(said)?.[1];
  return {
    sources: read,
    ...(minor === undefined ? {} : { minor: Number(minor) }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(cgroupDriver === undefined ? {} : { cgroupDriver }),
    ...(failCgroupV1 === undefined ? {} : { failCgroupV1: !mayUseV1 }),
    removedFlags: flagTexts.flatMap(({ from, text }) =>
      editFlags(text, "unix:///").removed.map((name) => ({ flag: name, from })),
    ),
    troubles,
  };
}

/** The one that runs, by its path where it was started by one. */
function programOf(running: FoundProcess | undefined): string {
  const first = running?.args[0] ?? "";
  return first.startsWith("/") ? first : "kubelet";
}

/** The words of an environment file: quotes and variable names end a word like a space does. */
function wordsOf(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .flatMap((line) => line.replace(/^\s*\w+=/, "").split(/[\s"']+/))
    .filter((word) => word !== "");
}

/** Another user than root may not read all of it, and is told so. */
async function readIfAllowed(path: string, troubles: string[]): Promise<string | undefined> {
  try {
    return await readTextIfExists(path);
  } catch (error) {
    troubles.push(`${path}: ${errorText(error)}`);
    return "";
  }
}

async function readConfig(
  path: string,
  troubles: string[],
): Promise<Record<string, unknown> | undefined> {
  try {
    const text = await readTextIfExists(path);
    if (text === undefined) return undefined;
    const parsed: unknown = parseYaml(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
    troubles.push(`${path}: no keys and values in it`);
  } catch (error) {
    troubles.push(`${path}: ${errorText(error).split("\n", 1)[0] ?? ""}`);
  }
  return {};
}
