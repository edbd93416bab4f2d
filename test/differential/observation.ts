import { readlinkSync } from "node:fs";
import type { Outcome } from "./run-plan.ts";

/** What one container or pod was, as `group/what` → text: the groups are those that planted faults are tried for. */
export type Observation = ReadonlyMap<string, string>;

/** The groups, each with what belongs to it. */
export const groups = {
  outcome: "how far the container came, the kind of error, the exit code",
  process: "arguments, environment, working directory, descriptors, terminal",
  users: "user, groups, umask",
  rights: "capabilities, no_new_privs, seccomp, AppArmor",
  mounts: "mount points, their options, propagation and file systems, and what is there",
  names: "resolv.conf, hosts, hostname",
  limits: "cgroup files, rlimits, OOM score",
  devices: "what is in /dev",
  sysctls: "kernel settings",
  namespaces: "which namespaces are the node's",
  status: "ContainerStatus and PodSandboxStatus",
} as const;
export type Group = keyof typeof groups;

interface Probe {
  descriptors: Record<string, string>;
  stdin: string;
  pid: number;
  hostname: string;
  cwd: string;
  argv: string[];
  env: string[];
  namespaces: Record<string, string>;
  files: Record<string, string | { error: string }>;
  mountPoints: Record<string, unknown>;
  devices: Record<string, unknown>;
}

/** Flattens an outcome; what differs from run to run is replaced by names. */
export function observe(outcome: Outcome): Observation {
  const seen = new Map<string, string>();
  const rename = (text: string): string =>
    outcome.names.reduce((left, [from, to]) => left.replaceAll(from, to), text);
  const say = (group: Group, what: string, value: unknown): void => {
    const text = typeof value === "string" ? value : JSON.stringify(value, sortedKeys);
    seen.set(`${group}/${rename(what)}`, rename(text));
  };
  say("outcome", "stage", outcome.stage);
  if (outcome.code !== undefined) say("outcome", "code", outcome.code);
  if (outcome.status !== undefined) sayStatus(outcome.status as Record<string, unknown>, say);
  if (typeof outcome.probe === "string") say("outcome", "output", outcome.probe);
  else if (outcome.probe !== undefined) sayProbe(outcome.probe as Probe, say);
  return seen;
}

/** Go gives maps back in any order. */
const sortedKeys = (_key: string, value: unknown): unknown =>
  value === null || typeof value !== "object" || Array.isArray(value)
    ? value
    : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));

type Say = (group: Group, what: string, value: unknown) => void;

/** Times, ids and addresses have no meaning between two runtimes. */
const unlike = ["id", "createdAt", "startedAt", "finishedAt", "imageRef", "imageId"];

function sayStatus(status: Record<string, unknown>, say: Say): void {
  say("outcome", "exitCode", status["exitCode"] ?? 0);
  for (const [key, value] of Object.entries(status)) {
    if (unlike.includes(key)) continue;
    if (key === "mounts") {
      for (const [at, mount] of Object.entries(value as object))
        say("status", `mounts ${at}`, mount);
    } else if (key === "user" || key === "resources" || key === "linux") {
      for (const [path, leaf] of leaves(value)) say("status", `${key}${path}`, leaf);
    } else if (key !== "exitCode") say("status", key, value);
  }
}

function* leaves(value: unknown, path = ""): Generator<[string, unknown]> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    yield [path, value];
    return;
  }
  for (const [key, inner] of Object.entries(value)) yield* leaves(inner, `${path}.${key}`);
}

function sayProbe(probe: Probe, say: Say): void {
  const file = (path: string): string => {
    const found = probe.files[path] ?? { error: "not read" };
    return typeof found === "string" ? found : `error ${found.error}`;
  };
  say("process", "argv", probe.argv);
  say("process", "cwd", probe.cwd);
  say("process", "descriptors", probe.descriptors);
  say("process", "stdin", probe.stdin);
  sayEnvironment(probe.env, say);
  say("namespaces", "first process of its namespace", probe.pid === 1);
  for (const [kind, link] of Object.entries(probe.namespaces)) {
    say("namespaces", kind, namespaceOf(kind, link));
  }
  sayProcessStatus(file("/proc/self/status"), say);
  say("rights", "AppArmor", file("/proc/self/attr/current"));
  say("names", "/etc/resolv.conf", resolverLines(file("/etc/resolv.conf")));
  for (const path of ["/etc/hosts", "/etc/hostname"]) say("names", path, file(path));
  say("names", "hostname", probe.hostname);
  say("names", "domainname", file("/proc/sys/kernel/domainname"));
  sayLimits(probe, file, say);
  for (const path of Object.keys(probe.files)) {
    if (path.startsWith("/proc/sys/") && !path.endsWith("domainname"))
      say("sysctls", path.slice(10), file(path));
  }
  // Interfaces of the node itself come and go.
  if (namespaceOf("net", probe.namespaces["net"] ?? "") === "own") {
    const lines = file("/proc/net/dev").split("\n").slice(2);
    say("namespaces", "interfaces", lines.map((line) => line.split(":")[0]?.trim()).sort());
  }
  say("namespaces", "uid_map", file("/proc/self/uid_map"));
  say("namespaces", "gid_map", file("/proc/self/gid_map"));
  sayMounts(file("/proc/self/mountinfo"), probe.mountPoints, say);
  for (const [name, node] of Object.entries(probe.devices)) say("devices", name, node);
}

/** By name, and the order of the names: what is given twice is shown twice. */
function sayEnvironment(env: readonly string[], say: Say): void {
  for (const entry of env) {
    const name = entry.split("=")[0] ?? "";
    say(
      "process",
      `env ${name}`,
      env.filter((other) => other.startsWith(`${name}=`)),
    );
  }
}

function sayProcessStatus(status: string, say: Say): void {
  const fields = new Map(
    status
      .split("\n")
      .map((line) => [line.split(":")[0] ?? "", line.replace(/^[^:]*:\s*/, "").trim()] as const),
  );
  for (const name of ["Uid", "Gid", "Umask"]) say("users", name, fields.get(name) ?? "");
  // The primary one counts in any case, whether it is listed again or not.
  const [gid = ""] = (fields.get("Gid") ?? "").split(/\s+/);
  const listed = (fields.get("Groups") ?? "").split(" ").filter(Boolean);
  const numbers = [gid, ...listed].map(Number);
  say(
    "users",
    "Groups",
    [...new Set(numbers)].sort((a, b) => a - b),
  );
  for (const name of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]) {
    say("rights", name, fields.get(name) ?? "");
  }
}

function sayLimits(probe: Probe, file: (path: string) => string, say: Say): void {
  say("limits", "OOM score", file("/proc/self/oom_score_adj").trim());
  for (const line of file("/proc/self/limits").split("\n").slice(1)) {
    const [name = "", ...values] = line.trim().split(/ {2,}/);
    if (name !== "") say("limits", name, values.join(" "));
  }
  for (const path of Object.keys(probe.files)) {
    if (path.startsWith("/sys/fs/cgroup/")) say("limits", path.slice(15), file(path).trim());
  }
  // Where in the tree: the container's own folder has the runtime's name.
  const memory = /^(?:\d+:memory|0:):(.*)$/m.exec(file("/proc/self/cgroup"))?.[1] ?? "";
  say("limits", "cgroup", memory);
}

function sayMounts(mountinfo: string, points: Record<string, unknown>, say: Say): void {
  // Of several at one point the last covers the others: it overwrites what was said of them.
  for (const line of mountinfo.split("\n")) {
    if (line === "") continue;
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root = "", point = "", options = "", ...optional] = left.split(" ");
    const [type = "", , superOptions = ""] = right.split(" ");
    // What is below the node's root is the node's, and changes all the time.
    if (point.startsWith("/host/")) continue;
    say("mounts", `${point} type`, type);
    say("mounts", `${point} options`, options.split(",").sort().join(","));
    // Peer groups have numbers; what counts is whether there is one.
    say(
      "mounts",
      `${point} propagation`,
      optional
        .map((field) => field.replace(/:.*/, ""))
        .sort()
        .join(","),
    );
    say("mounts", `${point} root`, rootOf(type, root));
    // That of a masked folder is up to the OCI runtime's version.
    if (type === "tmpfs" && point.startsWith("/dev")) {
      say("mounts", `${point} size`, sizeOf(superOptions));
    }
  }
  for (const [point, node] of Object.entries(points)) {
    // Up to the OCI runtime's version.
    if (point.startsWith("/host") || point === "/sys/fs/cgroup") continue;
    const shown = point === "/etc/resolv.conf" ? { ...(node as object), content: undefined } : node;
    say("mounts", `${point} content`, shown);
  }
}

/** The order of lines of different kinds has no meaning; that of the servers has. */
function resolverLines(text: string): string[] {
  const kind = (line: string): string => line.split(" ")[0] ?? "";
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .sort((a, b) => kind(a).localeCompare(kind(b)));
}

/** Where in its file system a mount begins, as far as both runtimes could agree on it. */
function rootOf(type: string, root: string): string {
  if (type === "overlay" || type === "cgroup" || type === "cgroup2") return "";
  const sources = /\/src\/?(.*)$/.exec(root);
  if (sources !== null) return `$SRC/${sources[1] ?? ""}`;
  return /\/(?:hosts|hostname|resolv\.conf|volumes\/.*)$/.test(root) || root.includes("/mounts/shm")
    ? "the runtime's own"
    : root.replace(/^\/\d+$/, "/<number>");
}

const sizeOf = (options: string): string =>
  options
    .split(",")
    .filter((option) => /^(?:size|mode|nr_inodes)=/.test(option))
    .sort()
    .join(",");

/** "host" for a namespace of the node, else "own". */
function namespaceOf(kind: string, link: string): string {
  return readlinkSync(`/proc/self/ns/${kind}`) === link ? "host" : "own";
}
