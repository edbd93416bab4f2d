import { parse as parseYaml } from "yaml";
import { errorText } from "../../errors.ts";
import { dockershimFlagsOf, lostFlagsOf } from "../kubelet-flags.ts";
import { cgroupDriverOf } from "../kubelet/cgroup-driver.ts";
import { endpointOf, flagIn, needsInstance, nextEndpointOf } from "../kubelet/endpoint.ts";
import { kubeletAmong, readKubeletFiles, wordsOf } from "../kubelet/files.ts";
import type { KubeletFiles } from "../kubelet/files.ts";
import type { TextFile } from "../text-file.ts";
import { readMinor } from "../kubelet/version.ts";
import type { FoundProcess } from "../migrate-node.ts";
import type { KubeletFacts } from "./facts.ts";
import { leadsTo, socketOf } from "./kubelet.ts";

export interface KubeletSources {
  /** Given by the operator; then nothing else is looked at. */
  flags: string | undefined;
  config: string | undefined;
  /** Where Dockline stands for the kubelet's cAdvisor; "" or undefined: nowhere. */
  facade?: string;
  /** Where kubeadm has instance-config.yaml, in place of its own folder. */
  kubeadm?: string;
  running(): readonly FoundProcess[];
  /** What a program says of its version; "" when there is none. */
  version(program: string): Promise<string>;
  /** The program that its unit starts; undefined where systemd has none. */
  unitProgram?(): Promise<string | undefined>;
}

type Settings = Record<string, unknown>;

/** Flags win over the configuration file, as in the kubelet; a running one tells both. */
export async function readKubelet(sources: KubeletSources): Promise<KubeletFacts> {
  const chosen = sources.flags !== undefined || sources.config !== undefined;
  const running = chosen ? undefined : kubeletAmong(sources.running());
  const files = await readKubeletFiles(sources, running, chosen);
  const troubles = [...files.troubles];
  // As the kubelet merges them: the later file's keys replace the earlier ones.
  let settings: Settings = {};
  for (const file of [files.config, ...files.dropIns]) {
    if (file !== undefined) settings = merged(settings, readSettings(file, troubles));
  }
  const broken = troubles.length > 0;
  const endpoint = endpointOf(files);
  const nextEndpoint = nextEndpointOf(files);
  const cgroupDriver = cgroupDriverOf(files);
  const failCgroupV1 = flagIn(files, "--fail-cgroupv1")?.value ?? settings["failCgroupV1"];
  const mayUseV1 = failCgroupV1 === false || failCgroupV1 === "false";
  const minor = chosen ? undefined : await readMinor(running, sources);
  const lostFlags = flagTexts(files).flatMap(({ path, text }) =>
    lostFlagsOf(wordsOf(text)).map((lost) => ({ ...lost, from: path })),
  );
  const series = broken ? undefined : seriesOf(files, settings, minor, sources.facade ?? "");
  return {
    sources: sourcesOf(files),
    ...(files.config === undefined ? {} : { config: files.config.path }),
    ...(running !== undefined && flagIn(files, "--config") === undefined
      ? { noConfig: true as const }
      : {}),
    ...(minor === undefined ? {} : { minor }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(nextEndpoint === undefined ? {} : { nextEndpoint }),
    ...(needsInstance(files, minor) ? { missingNext: files.instancePath } : {}),
    ...(cgroupDriver === undefined ? {} : { cgroupDriver }),
    ...(failCgroupV1 === undefined ? {} : { failCgroupV1: !mayUseV1 }),
    ...(keepsImages(settings) ? { keepsImages: true as const } : {}),
    removedFlags: flagTexts(files).flatMap(({ path, text }) =>
      dockershimFlagsOf(text).map((flag) => ({ flag, from: path })),
    ),
    ...(lostFlags.length === 0 ? {} : { lostFlags }),
    ...(series === undefined ? {} : { series }),
    troubles,
  };
}

/** Neither its garbage collection nor an eviction removes images, as kind has it. */
function keepsImages(settings: Settings): boolean {
  const eviction: Settings = isSettings(settings["evictionHard"]) ? settings["evictionHard"] : {};
  const age = settings["imageMaximumGCAge"];
  const isOff = (signal: string): boolean => eviction[signal] === "0%";
  return (
    settings["imageGCHighThresholdPercent"] === 100 &&
    (age === undefined || age === 0 || (typeof age === "string" && /^(?:0+[a-z]*)*$/.test(age))) &&
    ["imagefs.available", "nodefs.available"].every(isOff)
  );
}

const flagTexts = ({ units, flags }: KubeletFiles): TextFile[] => [...units, ...flags];

function sourcesOf({ flags, config, dropIns, running }: KubeletFiles): string[] {
  return [
    ...[...flags, config, ...dropIns].flatMap((file) => (file === undefined ? [] : [file.path])),
    ...(running === undefined ? [] : [`the running kubelet, pid ${running.pid}`]),
  ];
}

/** First kubelet without a flag for cAdvisor's containerd, and where cAdvisor asks without one. */
const noFacade = 37;
const usualContainerd = "/run/containerd/containerd.sock";

function seriesOf(
  files: KubeletFiles,
  settings: Settings,
  minor: number | undefined,
  facade: string,
): KubeletFacts["series"] {
  if (minor === undefined) return undefined;
  const gate = "PodAndContainerStatsFromCRI";
  const gates: Settings = isSettings(settings["featureGates"]) ? settings["featureGates"] : {};
  const byFlag = flagIn(files, "--feature-gates")?.value.split(",") ?? [];
  const pairs = byFlag.map((each) => each.trim().split("=", 2) as [string, string]);
  const all: Settings = { ...gates, ...Object.fromEntries<unknown>(pairs) };
  // Its own name wins over that of its stage.
  const stage = minor < noFacade ? "AllAlpha" : "AllBeta";
  if (String(all[gate] ?? all[stage]).toLowerCase() === "true") return "cri";
  const flag = minor < noFacade ? flagIn(files, "--containerd")?.value : undefined;
  const asked = flag ?? usualContainerd;
  // It takes no unix:// there.
  return facade !== "" && asked.startsWith("/") && leadsTo(asked, socketOf(facade))
    ? "facade"
    : "none";
}

const isSettings = (value: unknown): value is Settings =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** As the kubelet merges a drop-in file: maps key by key, all else whole. */
function merged(below: Settings, above: Settings): Settings {
  const result = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = result[key];
    result[key] = isSettings(old) && isSettings(value) ? merged(old, value) : value;
  }
  return result;
}

function readSettings({ path, text }: TextFile, troubles: string[]): Settings {
  try {
    const parsed: unknown = parseYaml(text);
    if (isSettings(parsed)) return parsed;
    troubles.push(`${path}: no keys and values in it`);
  } catch (error) {
    troubles.push(`${path}: ${errorText(error).split("\n", 1)[0] ?? ""}`);
  }
  return {};
}
