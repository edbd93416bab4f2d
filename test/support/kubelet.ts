import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

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

export function startKubelet(options: {
  endpoint: string;
  port: number;
  /** Lines of its configuration. */
  settings?: string[];
  /** Flags. */
  args?: string[];
}): Kubelet {
  const name = `t${process.pid}-${options.port}`;
  const run = (...args: string[]): string =>
    execFileSync(script, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  const folder = run(
    ...["--port", String(options.port)],
    ...(options.settings ?? []).flatMap((setting) => ["--set", setting]),
    ...(options.args ?? []).map((argument) => `--arg=${argument}`),
    ...["start", name, options.endpoint],
  );
  const manifest = (pod: string): string => join(folder, "manifests", `${pod}.json`);
  return {
    folder,
    addPod: (pod, text) => writeFileSync(manifest(pod), JSON.stringify(text)),
    removePod: (pod) => rmSync(manifest(pod), { force: true }),
    get: async (path) => {
      const response = await fetch(`http://127.0.0.1:${options.port + 5}${path}`);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return await response.text();
    },
    stop: () => void run("stop", name),
  };
}
