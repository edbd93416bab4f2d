/** A JSON object as a plugin or an administrator wrote it; unknown keys are passed on untouched. */
export type JsonObject = Record<string, unknown>;

/** One entry of `plugins`: checked where the protocol reads it, otherwise as written. */
export interface PluginConfig extends JsonObject {
  type: string;
}

/** A network configuration list (CNI spec section 1) as read from a file. */
export interface NetworkConfig {
  name: string;
  /** Every version that the file offers and Dockline speaks, highest first; never empty. */
  versions: string[];
  disableCheck: boolean;
  disableGc: boolean;
  loadOnlyInlinedPlugins: boolean;
  plugins: PluginConfig[];
}

/** Spec versions that Dockline speaks. Before 0.3.0 results had another form (see result.ts). */
export const spokenVersions: readonly string[] = [
  "1.1.0",
  "1.0.0",
  "0.4.0",
  "0.3.1",
  "0.3.0",
  "0.2.0",
  "0.1.0",
];

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** The grammar that the spec sets for network names and container ids; both become file names. */
export function isCniName(name: string): boolean {
  return name.length <= 255 && namePattern.test(name);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True when `version` is a spoken version at or after `wanted`, itself a spoken one. */
export function versionAtLeast(version: string, wanted: string): boolean {
  const place = spokenVersions.indexOf(version);
  return place !== -1 && place <= spokenVersions.indexOf(wanted);
}

/**
 * Reads a `.conflist`. The plugins may be empty when the list asks for those of the folder beside it
 * (`loadOnlyInlinedPlugins` false, spec 1.1). Throws Error with what is wrong.
 */
export function parseConfigList(text: string): NetworkConfig {
  const raw = parseObject(text);
  const loadOnlyInlinedPlugins = readFlag(raw, "loadOnlyInlinedPlugins");
  if (raw["plugins"] === undefined && typeof raw["type"] === "string") {
    throw new Error("it holds a single plugin: name the file .conf, or put it into a plugins list");
  }
  if (raw["plugins"] === undefined && loadOnlyInlinedPlugins) {
    throw new Error("loadOnlyInlinedPlugins is true and there is no plugins list");
  }
  const plugins = raw["plugins"] ?? [];
  if (!Array.isArray(plugins)) throw new Error("plugins is not a list");
  if (raw["plugins"] !== undefined && plugins.length === 0) throw new Error("plugins is empty");
  return {
    name: readName(raw),
    versions: readVersions(raw),
    disableCheck: readFlag(raw, "disableCheck"),
    disableGc: readFlag(raw, "disableGC"),
    loadOnlyInlinedPlugins,
    plugins: plugins.map((plugin: unknown) => checkPlugin(plugin)),
  };
}

/** Reads a `.conf` or `.json`, the form before conflists: one plugin, which becomes a list of one. */
export function parseSingleConfig(text: string): NetworkConfig {
  const raw = parseObject(text);
  if (raw["plugins"] !== undefined) {
    throw new Error("it holds a plugins list: name the file .conflist");
  }
  return {
    name: readName(raw),
    versions: readVersions(raw),
    disableCheck: false,
    disableGc: false,
    loadOnlyInlinedPlugins: true,
    plugins: [checkPlugin(raw)],
  };
}

/** Reads one plugin object of the folder `<conf dir>/<network name>/`. */
export function parsePluginFile(text: string): PluginConfig {
  return checkPlugin(parseObject(text));
}

/** The names of the capabilities that a plugin declares as wanted. */
export function declaredCapabilities(plugin: JsonObject): string[] {
  const capabilities = plugin["capabilities"];
  if (!isJsonObject(capabilities)) return [];
  return Object.entries(capabilities)
    .filter(([, wanted]) => wanted === true)
    .map(([name]) => name);
}

/** The binaries that a plugin object makes run: its own and its address manager's. */
export function pluginTypes(plugin: PluginConfig): string[] {
  const ipam = plugin["ipam"];
  const ipamType = isJsonObject(ipam) ? ipam["type"] : undefined;
  return typeof ipamType === "string" && ipamType !== "" ? [plugin.type, ipamType] : [plugin.type];
}

function parseObject(text: string): JsonObject {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new Error("not valid JSON", { cause });
  }
  if (!isJsonObject(raw)) throw new Error("not a JSON object");
  return raw;
}

function readName(raw: JsonObject): string {
  const name = raw["name"];
  if (typeof name !== "string" || name === "") throw new Error("no name");
  if (!isCniName(name)) {
    throw new Error("the name must begin with a letter or digit and hold only those, _, . and -");
  }
  return name;
}

function readVersions(raw: JsonObject): string[] {
  const single = raw["cniVersion"] ?? (raw["cniVersions"] === undefined ? "0.1.0" : undefined);
  const list = raw["cniVersions"] ?? [];
  if (!Array.isArray(list)) throw new Error("cniVersions is not a list");
  const offered: unknown[] = single === undefined ? list : [...(list as unknown[]), single];
  if (!offered.every((version): version is string => typeof version === "string")) {
    throw new Error("a cniVersion is not a string");
  }
  // An empty version is what the oldest files mean by leaving it out.
  const wanted = new Set(offered.map((version) => (version === "" ? "0.1.0" : version)));
  const versions = spokenVersions.filter((version) => wanted.has(version));
  if (versions.length === 0) {
    throw new Error(`cniVersion ${[...wanted].join(", ")} is not known, the newest known is 1.1.0`);
  }
  return versions;
}

/** Administrators write these flags as strings too, and other runtimes accept that. */
function readFlag(raw: JsonObject, key: string): boolean {
  const value = raw[key];
  if (value === undefined || value === false) return false;
  if (value === true) return true;
  if (typeof value === "string" && value.toLowerCase() === "true") return true;
  if (typeof value === "string" && value.toLowerCase() === "false") return false;
  throw new Error(`${key} is neither true nor false`);
}

function checkPlugin(plugin: unknown): PluginConfig {
  if (!isJsonObject(plugin)) throw new Error("a plugin is not an object");
  const type = plugin["type"];
  if (typeof type !== "string" || type === "") throw new Error("a plugin has no type");
  const capabilities = plugin["capabilities"];
  if (capabilities !== undefined && !isJsonObject(capabilities)) {
    throw new Error(`plugin ${type}: capabilities is not an object`);
  }
  const ipam = plugin["ipam"];
  if (isJsonObject(ipam) && ipam["type"] !== undefined && typeof ipam["type"] !== "string") {
    throw new Error(`plugin ${type}: the ipam type is not a string`);
  }
  const checked: PluginConfig = { ...plugin, type };
  for (const binary of pluginTypes(checked)) {
    // The type is a file name in the plugin folders and must not lead out of them (T29).
    if (!isPluginType(binary)) throw new Error("a plugin type is not a plain file name");
  }
  return checked;
}

function isPluginType(type: string): boolean {
  return type !== "." && type !== ".." && type.length <= 255 && /^[^/\\\p{Cc}]+$/u.test(type);
}
