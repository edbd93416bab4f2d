import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument } from "../errors.ts";
import { namesIn, writeFileAtomic } from "../sys/fs.ts";
import type { NetworkAttachment } from "./attachment.ts";
import type { CniArgs } from "./cni-args.ts";
import { isCniName, isJsonObject, parseConfigList, parseSingleConfig } from "./conflist.ts";
import type { JsonObject, NetworkConfig } from "./conflist.ts";

/**
 * One file of libcni's cache, `<cache dir>/results/<network>-<container id>-<interface>`: how
 * cri-dockerd remembers what it attached. Very old files hold the bare result only.
 */
export interface LegacyCacheEntry {
  path: string;
  networkName: string;
  config?: NetworkConfig;
  args?: CniArgs;
  capabilityArgs?: JsonObject;
  result?: JsonObject;
  /** The namespace's path at ADD, as libcni got it or as the result names it. */
  netns?: string;
}

const cacheKind = "cniCacheV1";

/** cri-dockerd attaches every pod to this one too; it leaves nothing behind on the host. */
const loopbackNetwork = "cni-loopback";

/**
 * The entries of a container, without the loopback network. A file that cannot be understood is as
 * good as none: it must not keep a pod from being removed.
 */
export async function readLegacyCache(
  cacheDir: string,
  containerId: string,
  ifName: string,
): Promise<LegacyCacheEntry[]> {
  const entries: LegacyCacheEntry[] = [];
  for (const { path, networkName } of await cacheFiles(cacheDir, containerId, ifName)) {
    if (networkName === loopbackNetwork) continue;
    const entry = parseEntry(await readFile(path, "utf8"), containerId, ifName);
    if (entry !== undefined) entries.push({ path, networkName, ...entry });
  }
  return entries;
}

/** Removes a container's files, those of the loopback network included. */
export async function removeLegacyCache(
  cacheDir: string,
  containerId: string,
  ifName: string,
): Promise<void> {
  for (const { path } of await cacheFiles(cacheDir, containerId, ifName)) {
    await rm(path, { force: true });
  }
}

/** Writes an attachment the way libcni does, for a node that goes back to cri-dockerd. */
export async function writeLegacyCache(
  cacheDir: string,
  attachment: NetworkAttachment,
): Promise<void> {
  const { networkName, containerId, ifName, cniVersion, disableCheck, plugins } = attachment;
  if (!isCniName(networkName) || !isCniName(containerId)) {
    throw invalidArgument("the network name or container id cannot be part of a file name");
  }
  const config = JSON.stringify({
    cniVersion,
    name: networkName,
    ...(disableCheck ? { disableCheck } : {}),
    plugins,
  });
  const folder = join(cacheDir, "results");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomic(
    join(folder, `${networkName}-${containerId}-${ifName}`),
    JSON.stringify({
      kind: cacheKind,
      containerId,
      // Go writes bytes as base64.
      config: Buffer.from(config).toString("base64"),
      ifName,
      networkName,
      netns: attachment.netns,
      cniArgs: attachment.args,
      capabilityArgs: attachment.capabilityArgs,
      ...(attachment.result === undefined ? {} : { result: attachment.result }),
    }),
  );
}

async function cacheFiles(
  cacheDir: string,
  containerId: string,
  ifName: string,
): Promise<{ path: string; networkName: string }[]> {
  const folder = join(cacheDir, "results");
  const ending = `-${containerId}-${ifName}`;
  return (await namesIn(folder))
    .filter((name) => name.endsWith(ending) && name.length > ending.length)
    .map((name) => ({ path: join(folder, name), networkName: name.slice(0, -ending.length) }));
}

function parseEntry(
  text: string,
  containerId: string,
  ifName: string,
): Omit<LegacyCacheEntry, "path" | "networkName"> | undefined {
  const raw = parseJson(text);
  if (!isJsonObject(raw)) return undefined;
  if (raw["kind"] !== cacheKind) {
    if (raw["ips"] === undefined && raw["ip4"] === undefined) return undefined;
    return { result: raw, ...netnsOf(undefined, raw, ifName) };
  }
  if (raw["containerId"] !== containerId) return undefined;
  const config = parseCachedConfig(raw["config"]);
  return {
    ...(config === undefined ? {} : { config }),
    ...(isArgs(raw["cniArgs"]) ? { args: raw["cniArgs"] } : {}),
    ...(isJsonObject(raw["capabilityArgs"]) ? { capabilityArgs: raw["capabilityArgs"] } : {}),
    ...(isJsonObject(raw["result"]) ? { result: raw["result"] } : {}),
    ...netnsOf(raw["netns"], raw["result"], ifName),
  };
}

/** Older libcni saved no path; the result's interfaces have it from spec 0.3.0 on. */
function netnsOf(saved: unknown, result: unknown, ifName: string): { netns?: string } {
  if (typeof saved === "string" && saved !== "") return { netns: saved };
  const interfaces: unknown = isJsonObject(result) ? result["interfaces"] : undefined;
  if (!Array.isArray(interfaces)) return {};
  const pods: unknown = interfaces.find(
    (one: unknown) => isJsonObject(one) && one["name"] === ifName && one["sandbox"] !== "",
  );
  const sandbox = isJsonObject(pods) ? pods["sandbox"] : undefined;
  return typeof sandbox === "string" ? { netns: sandbox } : {};
}

function parseCachedConfig(value: unknown): NetworkConfig | undefined {
  if (typeof value !== "string") return undefined;
  const text = Buffer.from(value, "base64").toString("utf8");
  for (const parse of [parseConfigList, parseSingleConfig]) {
    try {
      const config = parse(text);
      if (config.plugins.length > 0) return config;
    } catch {
      // The other form, or a damaged file: today's configuration is used then.
    }
  }
  return undefined;
}

function isArgs(value: unknown): value is CniArgs {
  return (
    Array.isArray(value) &&
    value.every(
      (pair: unknown) =>
        Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string"),
    )
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
