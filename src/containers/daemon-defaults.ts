import type { EngineFacts } from "../convert/engine-facts.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { readProcessFile } from "../sys/fs.ts";
import { inContainer, readProcess } from "../sys/process-tree.ts";

type Ulimits = NonNullable<EngineFacts["ulimits"]>;

/** /proc's words for what Docker's ulimits name. */
const names: Readonly<Record<string, string>> = {
  "Max cpu time": "cpu",
  "Max file size": "fsize",
  "Max data size": "data",
  "Max stack size": "stack",
  "Max core file size": "core",
  "Max resident set": "rss",
  "Max processes": "nproc",
  "Max open files": "nofile",
  "Max locked memory": "memlock",
  "Max file locks": "locks",
  "Max pending signals": "sigpending",
  "Max msgqueue size": "msgqueue",
  "Max nice priority": "nice",
  "Max realtime priority": "rtprio",
  "Max realtime timeout": "rttime",
};

/**
 * Limits to give a pod's containers, so that they have those of the runtime as under containerd, and
 * not daemon.json's `default-ulimits`. Which these are no call of the engine tells but a container
 * without limits of its own, and the pod's pause container is one; what a container would have
 * without them is what its shim has, which containerd started. Of open files that is the hard
 * limit: a Go program raises its own soft one. Empty where daemon.json names none.
 */
export function ownLimits(pause: ContainerEntry): Ulimits {
  const imposed = new Set((pause.inspect?.HostConfig.Ulimits ?? []).map(({ Name }) => Name));
  if (imposed.size === 0) return [];
  const { Pid: pid } = pause.state;
  const shim = inContainer(pid, pause.id) ? readProcess(pid)?.parent : undefined;
  const text = shim === undefined ? undefined : readProcessFile(`/proc/${shim}/limits`);
  return parseLimits(text ?? "").filter(({ Name }) => imposed.has(Name));
}

/**
 * Against log-opts of daemon.json with mode "non-blocking", which drops lines when a buffer of 1 MiB is
 * full. The engine takes a buffer's size in that mode only and lets nobody take the size away: then
 * the buffer is one that no container fills in the time of a write.
 */
export function ownLogOptions(pause: ContainerEntry): Record<string, string> {
  const options = pause.inspect?.HostConfig.LogConfig?.Config ?? {};
  if (options["mode"] !== "non-blocking") return {};
  return Object.hasOwn(options, "max-buffer-size")
    ? { "max-buffer-size": "64m" }
    : { mode: "blocking" };
}

/** /proc/<pid>/limits as Docker's ulimits; -1 for "unlimited". */
export function parseLimits(text: string): Ulimits {
  return text.split("\n").flatMap((line) => {
    // "Max open files            1024                 4096                 files"
    const [, words = "", soft = "", hard = ""] =
      /^(\S+(?: \S+)*) {2,}(\d+|unlimited) +(\d+|unlimited)(?: |$)/.exec(line) ?? [];
    const name = names[words];
    return name === undefined ? [] : [{ Name: name, Soft: value(soft), Hard: value(hard) }];
  });
}

const value = (text: string): number => (text === "unlimited" ? -1 : Number(text));
