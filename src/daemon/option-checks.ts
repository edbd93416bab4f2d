import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Checks, CheckTogether } from "../config/load.ts";
import { facadeEndpoint } from "../config/options.ts";
import type { Config, OptionKey } from "../config/options.ts";
import { parseImageReference } from "../convert/image-ref.ts";
import { parseMirrors } from "../convert/mirrors.ts";
import { unixPath } from "../cri/listener.ts";
import { socketPathOf } from "../engine/endpoint.ts";
import { errorText } from "../errors.ts";
import { parsePodCidr } from "../network/attachment.ts";
import { parseListenAddress } from "../streaming/listen-address.ts";
import { tracesUrl } from "../trace/otel-url.ts";

type Trouble = string | undefined;

/** The kernel's sun_path, without the zero byte at its end. */
const maxSocketPath = 107;
/** As Docker's json-file driver reads it: decimal digits, one letter, "16m", "16MB", "16 MiB". */
const logSize = /^(\d+(?:\.\d+)?) ?(?:[kmgtp]i?b?|b)?$/i;

const absolute = (path: string): Trouble =>
  path.startsWith("/") && !path.includes("\0") ? undefined : "want an absolute path";
const absoluteOrNone = (path: string): Trouble => (path === "" ? undefined : absolute(path));

/** A plugin that is given less is dropped before it can answer. */
const atLeast100Ms = (ms: number): Trouble => (ms >= 100 ? undefined : "want at least 100ms");

function socket(path: string): Trouble {
  const length = Buffer.byteLength(path);
  return length <= maxSocketPath
    ? undefined
    : `the socket's path has ${length} bytes, the kernel takes ${maxSocketPath}`;
}

function pinned(patterns: readonly string[]): Trouble {
  for (const pattern of patterns) {
    const prefix = pattern.endsWith("*");
    const text = prefix ? pattern.slice(0, -1) : pattern;
    // The beginning of a name need not be one.
    const right = prefix ? /^[\w./:@[\]-]*$/.test(text) : parseImageReference(text) !== undefined;
    if (!right) {
      return `${JSON.stringify(pattern)} is no image reference, nor the beginning of one with * at its end`;
    }
  }
  return undefined;
}

function metricsAddress(address: string): Trouble {
  if (address === "" || isAddress(address)) return undefined;
  return address.startsWith("unix://")
    ? socket(unixPath(address))
    : "want 127.0.0.1:port or unix:///path";
}

function isAddress(text: string): boolean {
  try {
    parseListenAddress(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * What is wrong with a value beyond its form, found by the same functions that will read it. They
 * return the trouble, or throw InvalidArgument.
 */
export const optionChecks: Checks = {
  containerRuntimeEndpoint: (endpoint) =>
    endpoint === "fd://" ? undefined : socket(unixPath(endpoint)),
  dockerEndpoint: (endpoint) => socket(socketPathOf(endpoint)),
  facadeEndpoint: (endpoint) =>
    endpoint === "auto" || endpoint === "" ? undefined : socket(unixPath(endpoint)),
  runtimeRequestTimeout: (ms) =>
    ms >= 1000 ? undefined : "want at least 1s: Docker answers no sooner",
  stateDir: absolute,
  runDir: absolute,
  cniConfDir: absolute,
  cniBinDir: (folders) =>
    folders.length === 0
      ? "want at least one directory"
      : folders.map(absolute).find((trouble) => trouble !== undefined),
  cniCacheDir: absolute,
  podCidr: (cidr) => void parsePodCidr(cidr),
  podInfraContainerImage: (image) =>
    parseImageReference(image) === undefined ? "want an image reference" : undefined,
  pinnedImages: pinned,
  registryMirrors: (pairs) => void parseMirrors(pairs),
  registryAuthFile: absoluteOrNone,
  containerLogMaxSize: (size) =>
    Number(logSize.exec(size)?.[1] ?? 0) > 0
      ? undefined
      : "want a size above 0 with k, m or g behind the number",
  containerLogMaxFiles: (files) => (files >= 1 ? undefined : "want at least 1"),
  streamingBindAddr: (address) => void parseListenAddress(address),
  streamingTlsCert: absoluteOrNone,
  streamingTlsKey: absoluteOrNone,
  metricsBindAddr: metricsAddress,
  metricsTlsCert: absoluteOrNone,
  metricsTlsKey: absoluteOrNone,
  metricsClientCa: absoluteOrNone,
  traceFile: absoluteOrNone,
  nriListen: (path) => absolute(path) ?? socket(path),
  nriPluginDir: absolute,
  nriPluginConfigDir: absolute,
  nriPluginRegistrationTimeout: atLeast100Ms,
  nriPluginRequestTimeout: atLeast100Ms,
  otelEndpoint: (endpoint) => (endpoint === "" ? undefined : void tracesUrl(endpoint)),
  otelSamplingPerMillion: (calls) => (calls <= 1e6 ? undefined : "want at most 1000000"),
};

/** What only several options together can say. Reads the certificate, and opens nothing. */
export const optionsTogether: CheckTogether = (config) => [
  ...streaming(config),
  ...metrics(config),
  ...sharedSockets(config),
];

function streaming(config: Config): { key: OptionKey; trouble: string }[] {
  const { streamingTlsCert: cert, streamingTlsKey: key, streamingBindAddr: address } = config;
  if (cert === "" && key === "") {
    if (parseListenAddress(address).loopback || config.streamingInsecure) return [];
    const trouble = `"${address}" is open to other machines: set --streaming-tls-cert and --streaming-tls-key, or allow it without TLS by --streaming-insecure`;
    return [{ key: "streamingBindAddr", trouble }];
  }
  if (key === "")
    return [{ key: "streamingTlsKey", trouble: "missing beside --streaming-tls-cert" }];
  if (cert === "")
    return [{ key: "streamingTlsCert", trouble: "missing beside --streaming-tls-key" }];
  const found: { key: OptionKey; trouble: string }[] = [];
  const read = (option: OptionKey, what: string, path: string): Buffer | undefined => {
    try {
      return readFileSync(path);
    } catch (error) {
      found.push({ key: option, trouble: `streaming ${what}: ${errorText(error)}` });
      return undefined;
    }
  };
  const pair = {
    cert: read("streamingTlsCert", "certificate", cert),
    key: read("streamingTlsKey", "key", key),
  };
  if (pair.cert === undefined || pair.key === undefined) return found;
  try {
    createSecureContext({ cert: pair.cert, key: pair.key });
  } catch (error) {
    const trouble = `streaming certificate and key ${key} are no pair in PEM: ${errorText(error)}`;
    found.push({ key: "streamingTlsCert", trouble });
  }
  return found;
}

const overSocket = {
  key: "metricsBindAddr",
  trouble:
    "TLS is for host:port; a unix socket needs none of --metrics-tls-cert, --metrics-tls-key and --metrics-client-ca",
} as const;

function metrics(config: Config): { key: OptionKey; trouble: string }[] {
  const { metricsBindAddr: address, metricsTlsCert, metricsTlsKey, metricsClientCa } = config;
  const tls = { metricsTlsCert, metricsTlsKey, metricsClientCa };
  const missing = (Object.keys(tls) as (keyof typeof tls)[]).filter((key) => tls[key] === "");
  if (missing.length > 0 && missing.length < 3) {
    const trouble =
      "--metrics-tls-cert, --metrics-tls-key and --metrics-client-ca belong together; set all three or none";
    return missing.map((key) => ({ key, trouble }));
  }
  if (missing.length === 0) return address.startsWith("unix://") ? [overSocket] : [];
  if (address === "") return [];
  if (!isAddress(address) || parseListenAddress(address).loopback) return [];
  const trouble = `"${address}" is open to other machines, and without client certificates the endpoint has no authentication: want 127.0.0.1:port or unix:///path, or set --metrics-tls-cert, --metrics-tls-key and --metrics-client-ca`;
  return [{ key: "metricsBindAddr", trouble }];
}

/** Two services cannot listen on one socket; the second would only find out when the first is up. */
function sharedSockets(config: Config): { key: OptionKey; trouble: string }[] {
  const seen = new Map<string, OptionKey>();
  const endpoints: [OptionKey, string][] = [
    ["dockerEndpoint", config.dockerEndpoint],
    ["containerRuntimeEndpoint", config.containerRuntimeEndpoint],
    ["facadeEndpoint", facadeEndpoint(config)],
    ["metricsBindAddr", config.metricsBindAddr],
  ];
  return endpoints.flatMap(([key, endpoint]) => {
    const path = endpoint.replace(/^unix:\/\//, "");
    if (!path.startsWith("/")) return [];
    const other = seen.get(path);
    seen.set(path, other ?? key);
    return other === undefined ? [] : [{ key, trouble: `${path} is the socket of ${other} too` }];
  });
}
