import { execFile, execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const script = join(import.meta.dirname, "..", "lanes", "kubelet");

/** A real kubelet without an API server: its pods are the manifests in a folder. */
export interface Kubelet {
  readonly folder: string;
  /** Writes a static pod's manifest (JSON), and takes it away again. */
  addPod(name: string, manifest: object): void;
  removePod(name: string): void;
  /** Text of a page of its read-only port. */
  get(path: string): Promise<string>;
  stop(): void;
}

interface KubeletOptions {
  endpoint: string;
  port: number;
  /** Lines of its configuration. */
  settings?: string[];
  /** Flags. */
  args?: string[];
  /** Which of the kubelets that are tried; the newest, unless the environment says otherwise. */
  release?: "newest" | "oldest";
  /** A socket that stands where cAdvisor looks for containerd. */
  containerdAtDefault?: string;
}

/** Blocks until it is healthy: not for a test whose own process stands between engine and node. */
export function startKubelet(options: KubeletOptions): Kubelet {
  const run = (...args: string[]): string =>
    execFileSync(script, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  const folder = run(...startArguments(options));
  return {
    ...kubeletAt(folder, options),
    stop: () => {
      run("stop", nameOf(options));
    },
  };
}

/** The same without blocking: the harness's proxy to the engine has to live on meanwhile. */
export async function startKubeletAside(
  options: KubeletOptions,
): Promise<Omit<Kubelet, "stop"> & { stop(): Promise<void> }> {
  const run = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)(script, args, { encoding: "utf8" })).stdout.trim();
  const folder = await run(...startArguments(options));
  return {
    ...kubeletAt(folder, options),
    stop: async () => {
      await run("stop", nameOf(options));
    },
  };
}

function nameOf({ port }: KubeletOptions): string {
  return `t${process.pid}-${port}`;
}

function startArguments(options: KubeletOptions): string[] {
  return [
    ...["--port", String(options.port)],
    ...(options.release === undefined ? [] : ["--release", options.release]),
    ...(options.containerdAtDefault === undefined
      ? []
      : ["--containerd-at-default", options.containerdAtDefault]),
    ...(options.settings ?? []).flatMap((setting) => ["--set", setting]),
    ...(options.args ?? []).map((argument) => `--arg=${argument}`),
    ...["start", nameOf(options), options.endpoint],
  ];
}

function kubeletAt(folder: string, { port }: KubeletOptions): Omit<Kubelet, "stop"> {
  const manifest = (pod: string): string => join(folder, "manifests", `${pod}.json`);
  return {
    folder,
    addPod: (pod, text) => writeFileSync(manifest(pod), JSON.stringify(text)),
    removePod: (pod) => rmSync(manifest(pod), { force: true }),
    get: async (path) => {
      const response = await fetch(`http://127.0.0.1:${port + 5}${path}`);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return await response.text();
    },
  };
}
