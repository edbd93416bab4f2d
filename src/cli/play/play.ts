import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import { callErrorText } from "../../cri/call-error.ts";
import { connect, serviceClient } from "../../cri/client.ts";
import { errorText } from "../../errors.ts";
import { ImageService, RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import { systemClock } from "../../sys/clock.ts";
import { nearest } from "../../config/nearest.ts";
import { endpointOf } from "../arguments.ts";
import { playDisk } from "./disk.ts";
import { followLog } from "./logs.ts";
import { readManifest } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { PodRun } from "./pod-run.ts";
import { defaultFolders } from "./pod.ts";
import type { PlayFolders } from "./pod.ts";
import { prober } from "./prober.ts";
import type { PlayServices } from "./services.ts";
import { takeDown } from "./take-down.ts";

const usage = `usage: dockline play FILE... [--detach] [--replace] [--strict] [options]
       dockline play FILE... --down [options]

Runs the Pods, Deployments, DaemonSets and Jobs of manifests through a CRI
socket, one pod each, with the ConfigMaps and Secrets of the same files. FILE -
is the standard input. Init containers run in order; containers are restarted as
restartPolicy says, and probed by exec, HTTP and TCP. Logs are shown until all
containers have ended, or until Ctrl-C, which leaves the pods running.

A second run of the same manifest continues with the pods that exist. Fields
that mean nothing on one node are reported and ignored; others that cannot be
done are refused, with their line. A kubelet on the same socket removes pods
that it does not know: play is for a node without one.

  --detach           return when the pods are ready; nobody restarts or probes
                     their containers then
  --replace          end pods that run from another manifest, and run this one
  --strict           refuse what would be ignored
  --down             stop and remove the pods, their logs, and their volumes
                     (what is in a hostPath stays)
  --log-dir FOLDER   where the logs go (/var/log/dockline-play)
  --endpoint ENDPOINT
                     where the CRI is served
                     (unix:///run/dockline/dockline.sock)

Exit code: that of the first container that failed; 0 if none did, also after
Ctrl-C; 1 when a pod could not be run, 2 when the manifest or the command line
is wrong. What is wrong is on the standard error.

  dockline play deploy/examples/web.yaml --detach
`;

const switches = ["--detach", "--replace", "--strict", "--down"] as const;

interface Wanted {
  files: string[];
  detach: boolean;
  replace: boolean;
  strict: boolean;
  down: boolean;
  folders: PlayFolders;
  endpoint: string;
}

/** `dockline play`. */
export async function play(args: readonly string[]): Promise<number> {
  const { endpoint, rest, help } = endpointOf(args);
  if (help) {
    process.stdout.write(usage);
    return 0;
  }
  const warn = (text: string): void => void process.stderr.write(`dockline play: ${text}\n`);
  let manifest: Manifest;
  let wanted: Wanted;
  try {
    wanted = parse(rest, endpoint);
    const files = await Promise.all(wanted.files.map(readSource));
    manifest = readManifest(files, wanted.folders);
  } catch (error) {
    warn(
      error instanceof Error && error.name === "ManifestError"
        ? error.message.replaceAll("\n", "\n  ")
        : errorText(error),
    );
    return 2;
  }
  if (!wanted.down) {
    for (const line of manifest.passedOver) warn(`passed over: ${line}`);
    if (wanted.strict && manifest.passedOver.length > 0) {
      warn("nothing was done, because of --strict");
      return 2;
    }
  }
  const connection = connect(endpoint);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const runtime = serviceClient(connection, RuntimeService);
  const services: PlayServices = {
    runtime,
    images: serviceClient(connection, ImageService),
    disk: playDisk(wanted.folders.volumes),
    clock: systemClock,
    say,
    probe: prober(runtime),
    follow: (path, name, signal) => followLog(path, name, say, signal),
  };
  try {
    return wanted.down ? await down(services, manifest) : await up(services, manifest, wanted);
  } catch (error) {
    warn(callErrorText(error, endpoint));
    return 1;
  } finally {
    connection.close();
  }
}

function parse(rest: readonly string[], endpoint: string): Wanted {
  const files: string[] = [];
  const given = new Set<string>();
  let logs = defaultFolders.logs;
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? "";
    if (word === "-" || !word.startsWith("-")) files.push(word);
    else if (word === "--log-dir" || word.startsWith("--log-dir=")) {
      logs = word === "--log-dir" ? (rest[(at += 1)] ?? "") : word.slice("--log-dir=".length);
      if (!logs.startsWith("/")) throw new Error("--log-dir: want an absolute path");
    } else if (switches.some((known) => known === word)) given.add(word);
    else {
      const hint = nearest(word, [...switches, "--log-dir", "--endpoint"], "");
      throw new Error(`unknown option ${word}${hint}`);
    }
  }
  if (files.length === 0) throw new Error("no file is given; dockline play --help says more");
  if (given.has("--down") && (given.has("--detach") || given.has("--replace"))) {
    throw new Error("--down goes without --detach and --replace");
  }
  return {
    files,
    detach: given.has("--detach"),
    replace: given.has("--replace"),
    strict: given.has("--strict"),
    down: given.has("--down"),
    folders: { ...defaultFolders, logs: logs.replace(/\/+$/, "") },
    endpoint,
  };
}

async function readSource(file: string): Promise<{ name: string; text: string }> {
  if (file === "-") return { name: "stdin", text: await readAll(process.stdin) };
  return { name: file, text: await readFile(file, "utf8") };
}

async function up(services: PlayServices, { pods }: Manifest, wanted: Wanted): Promise<number> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  const options = {
    detach: wanted.detach,
    replace: wanted.replace,
    isOneOfSeveral: pods.length > 1,
  };
  // One that cannot be run does not keep the others from it.
  const codes = await Promise.all(
    pods.map(async (pod) => {
      try {
        return await new PodRun(services, pod, options).run(stop.signal);
      } catch (error) {
        const text = callErrorText(error, wanted.endpoint);
        process.stderr.write(`dockline play: pod ${pod.namespace}/${pod.name}: ${text}\n`);
        return 1;
      }
    }),
  );
  process.off("SIGINT", end);
  process.off("SIGTERM", end);
  return codes.find((code) => code !== 0) ?? 0;
}

async function down(services: PlayServices, { pods }: Manifest): Promise<number> {
  for (const pod of [...pods].reverse()) {
    const name = `pod ${pod.namespace}/${pod.name}`;
    const count = await takeDown(services, pod);
    services.say(count === 0 ? `${name} is not there` : `removed ${name}`);
  }
  return 0;
}
