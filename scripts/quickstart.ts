import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createDockerEngine } from "../src/engine/docker-engine.ts";
import { pullImage } from "./quickstart-image.ts";
import { defaultFolders } from "../src/cli/play/pod.ts";
import { silentLogger } from "../src/log.ts";
import { ensureEngine } from "./dockerd.ts";
import type { StartedEngine } from "./dockerd.ts";
import { traceText } from "./quickstart-trace.ts";

const root = join(import.meta.dirname, "..");
const manifest = join(root, "deploy", "examples", "web.yaml");
const image = "docker.io/library/busybox:1.36";
const url = "http://127.0.0.1:18080/";
const folder = "/run/dockline-quickstart";
const socket = `${folder}/dockline.sock`;
const endByItself = process.argv.includes("--once");

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const undo: { name: string; run: () => Promise<void> }[] = [];
const startedAt = Date.now();
const stopSignal = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
});

try {
  await main();
} catch (error) {
  say(`\nquickstart failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  for (const step of undo.reverse()) {
    await step.run().catch((error: unknown) => say(`  ${step.name}: ${String(error)}`));
  }
}

async function main(): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  const engine = await step("Docker Engine", () =>
    ensureEngine("/var/run/docker.sock", { logFile: `${folder}/dockerd.log` }),
  );
  undo.push({ name: "stop Docker Engine", run: () => stopEngine(engine) });
  await step("image of the example", () => ensureExampleImage());
  const server = await step("serving the CRI", () => serve());
  undo.push({ name: "stop dockline", run: () => endChild(server) });
  undo.push({
    name: "remove the pod",
    run: async () => {
      await dockline("play", manifest, "--down");
    },
  });

  say("\n$ dockline play deploy/examples/web.yaml --detach");
  const code = await dockline("play", manifest, "--detach");
  if (code !== 0) throw new Error(`dockline play ended with ${code}`);
  say("\nEach CRI call and the Docker requests it became:");
  say(await traceText(`${folder}/trace`));

  const page = await fetchPage();
  say(`\n$ curl ${url}\n${page.trim()}`);
  say(
    `\nServed ${((Date.now() - startedAt) / 1000).toFixed(1)} s after the start. Logs of the pod:`,
  );
  say(await podLogs());
  say(`
Go on from here:
  crictl --runtime-endpoint unix://${socket} pods
  crictl --runtime-endpoint unix://${socket} logs <container>
  docker ps
  kubelet --container-runtime-endpoint=unix:///run/dockline/dockline.sock …   (README, "Under a kubelet")`);
  if (endByItself) return;
  say("\nThe pod keeps serving. Ctrl-C ends it and removes what was started.");
  await stopSignal;
  say("");
}

async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  process.stdout.write(`${name} … `);
  const begin = Date.now();
  const result = await work();
  say(`${((Date.now() - begin) / 1000).toFixed(1)} s`);
  return result;
}

async function ensureExampleImage(): Promise<void> {
  const engine = createDockerEngine({
    endpoint: "unix:///var/run/docker.sock",
    log: silentLogger,
  });
  try {
    await pullImage(engine, image);
  } finally {
    engine.close();
  }
}

async function serve(): Promise<ChildProcess> {
  const configDir = cniConfigDir();
  const child = spawn(
    join(root, "bin", "dockline"),
    [
      "serve",
      `--container-runtime-endpoint=unix://${socket}`,
      `--state-dir=${folder}/state`,
      `--run-dir=${folder}/run`,
      `--cni-conf-dir=${configDir}`,
      `--trace-file=${folder}/trace`,
      "--log-level=warn",
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  for (let waited = 0; waited < 20_000; waited += 100) {
    if (child.exitCode !== null) throw new Error(`dockline ended with ${child.exitCode}`);
    if (existsSync(socket) && (await quiet("version"))) return child;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("dockline did not come up");
}

/** The node's own network configuration, or the sample's where there is none. */
function cniConfigDir(): string {
  const usual = "/etc/cni/net.d";
  if (existsSync(usual) && readdirSync(usual).some((file) => /\.conf(list)?$/.test(file))) {
    return usual;
  }
  mkdirSync(`${folder}/cni`);
  copyFileSync(
    join(root, "deploy", "cni", "10-dockline.conflist"),
    `${folder}/cni/10-dockline.conflist`,
  );
  undo.push({
    name: "remove the bridge",
    run: async () => {
      await finished(spawn("ip", ["link", "delete", "dockline0"], { stdio: "ignore" }));
      rmSync("/var/lib/cni/networks/dockline", { recursive: true, force: true });
    },
  });
  return `${folder}/cni`;
}

function dockline(...args: string[]): Promise<number> {
  return finished(
    spawn(join(root, "bin", "dockline"), [...args, `--endpoint=unix://${socket}`], {
      stdio: ["ignore", "inherit", "inherit"],
    }),
  );
}

async function quiet(...args: string[]): Promise<boolean> {
  const child = spawn(join(root, "bin", "dockline"), [...args, `--endpoint=unix://${socket}`], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return (await finished(child)) === 0 && !text.includes("no answer");
}

async function finished(child: ChildProcess): Promise<number> {
  const [code] = (await once(child, "close")) as [number | null];
  return code ?? 1;
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "close");
  rmSync(folder, { recursive: true, force: true });
}

async function stopEngine(engine: StartedEngine): Promise<void> {
  await engine.stop();
}

async function fetchPage(): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      return await response.text();
    } catch (error) {
      if (attempt >= 50) throw new Error(`${url} does not answer: ${String(error)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function podLogs(): Promise<string> {
  const pod = join(defaultFolders.logs, "default_web");
  const lines: string[] = [];
  for (const container of readdirSync(pod)) {
    const { readFile } = await import("node:fs/promises");
    const text = await readFile(join(pod, container, "0.log"), "utf8");
    lines.push(
      ...text
        .trim()
        .split("\n")
        .slice(0, 3)
        .map((line) => `  ${container}: ${line}`),
    );
  }
  return lines.join("\n");
}
