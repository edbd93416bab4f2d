import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import WebSocket from "ws";
import { startKubelet } from "../support/kubelet.ts";
import type { Kubelet } from "../support/kubelet.ts";
import { busybox } from "../support/test-images.ts";

/** What the kubelet adds to the name of each static pod (`--hostname-override`). */
const nodeName = "127.0.0.1";
export const namespace = "static";

export interface ContainerView {
  name: string;
  containerID?: string;
  restartCount: number;
  ready: boolean;
  started?: boolean;
  state: {
    running?: { startedAt: string };
    waiting?: { reason: string };
    terminated?: { reason: string; exitCode: number; finishedAt: string };
  };
  lastState: { terminated?: { reason: string; exitCode: number } };
}

export interface PodView {
  metadata: { name: string; namespace: string; uid: string };
  status: {
    phase: string;
    podIP?: string;
    containerStatuses?: ContainerView[];
    initContainerStatuses?: ContainerView[];
  };
}

/** A kubelet as its users see it: manifests in, its API out. */
export interface KubeletApi extends Kubelet {
  readonly port: number;
  readonly podLogs: string;
  /** The pod of a manifest; undefined when the kubelet has none. */
  pod(name: string): Promise<PodView | undefined>;
  container(pod: string, container: string): Promise<ContainerView | undefined>;
  /** Resolves with the pod once all of its containers are ready. */
  ready(name: string, timeoutMs?: number): Promise<PodView>;
  logs(pod: string, container: string, query?: string): Promise<string>;
  /** Yields the log's chunks as they come. */
  followLogs(pod: string, container: string): AsyncIterable<Buffer>;
  /** By ExecSync. */
  run(pod: string, container: string, command: string): Promise<string>;
  /** By a streaming exec over WebSocket: stdin in, stdout out. */
  exec(pod: string, container: string, command: string[], stdin?: string): Promise<string>;
  /** Sends bytes to a pod's port and resolves with all that comes back. */
  portForward(pod: string, port: number, text: string): Promise<string>;
  /** Its own metrics, as text. */
  metrics(): Promise<string>;
  log(): string;
}

export function startKubeletApi(options: Parameters<typeof startKubelet>[0]): KubeletApi {
  return kubeletApi(startKubelet(options), options.port);
}

/** The same on a kubelet that was started otherwise. */
export function kubeletApi<K extends Pick<Kubelet, "folder">>(
  kubelet: K,
  port: number,
): K & Omit<KubeletApi, keyof Kubelet> & Pick<KubeletApi, "addPod"> {
  const full = (pod: string): string => `${namespace}/${pod}-${nodeName}`;
  const call = (method: string, path: string): Promise<string> => text(open(port, method, path));

  const pod = async (name: string): Promise<PodView | undefined> => {
    const { items } = JSON.parse(await call("GET", "/pods")) as { items: PodView[] | null };
    return items?.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === full(name));
  };
  return {
    ...kubelet,
    // By rename: the kubelet reads a manifest as soon as it sees its name.
    addPod: (name, manifest) => {
      const path = join(kubelet.folder, "manifests", `${name}.json`);
      const draft = join(kubelet.folder, "manifests", `.${name}`);
      writeFileSync(draft, JSON.stringify(manifest));
      renameSync(draft, path);
    },
    port,
    podLogs: join(kubelet.folder, "pod-logs"),
    pod,
    container: async (name, container) => {
      const status = (await pod(name))?.status;
      return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
        (found) => found.name === container,
      );
    },
    ready: (name, timeoutMs) =>
      within(timeoutMs ?? 60_000, `pod ${name} ready`, async () => {
        const found = await pod(name);
        const containers = found?.status.containerStatuses ?? [];
        return containers.length > 0 && containers.every((one) => one.ready) ? found : undefined;
      }),
    logs: (name, container, query = "") =>
      call("GET", `/containerLogs/${full(name)}/${container}${query}`),
    followLogs: async function* (name, container) {
      const path = `/containerLogs/${full(name)}/${container}?follow=true`;
      for await (const chunk of await open(port, "GET", path)) yield chunk as Buffer;
    },
    run: (name, container, command) =>
      call("POST", `/run/${full(name)}/${container}?cmd=${encodeURIComponent(command)}`),
    exec: async (name, container, command, stdin) => {
      const query = new URLSearchParams({ output: "1", error: "1" });
      for (const word of command) query.append("command", word);
      if (stdin !== undefined) query.set("input", "1");
      const path = `/exec/${full(name)}/${container}?${query.toString()}`;
      const { channels, status } = await session(port, path, "v5.channel.k8s.io", (socket) => {
        if (stdin === undefined) return;
        socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(stdin)]));
        // v5's way to close one channel: 255 and its number.
        socket.send(Buffer.from([255, 0]));
      });
      const { message, status: outcome } = JSON.parse(status) as Record<string, string>;
      if (outcome !== "Success") throw new Error(`exec: ${message ?? status}`);
      return channels.get(1) ?? "";
    },
    portForward: async (name, podPort, sent) => {
      const path = `/portForward/${full(name)}?port=${podPort}`;
      const { channels } = await session(port, path, "v4.channel.k8s.io", (socket) =>
        socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(sent)])),
      );
      // Each channel begins with the port's number.
      return (channels.get(0) ?? "").slice(2);
    },
    metrics: () => call("GET", "/metrics"),
    log: () => readFileSync(join(kubelet.folder, "log"), "utf8"),
  };
}

type Answer = NodeJS.ReadableStream & { statusCode?: number | undefined };

async function open(port: number, method: string, path: string): Promise<Answer> {
  const sent = request({
    host: "127.0.0.1",
    port,
    method,
    path,
    // It made its certificate by itself.
    rejectUnauthorized: false,
    agent: false,
  });
  sent.end();
  const [answer] = (await once(sent, "response")) as [Answer];
  if (answer.statusCode === 200) return answer;
  throw new Error(
    `${method} ${path}: ${answer.statusCode}: ${await text(Promise.resolve(answer))}`,
  );
}

async function text(answer: Promise<Answer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** One streaming session to its end: all text by channel; channel 3 is the exec's status. */
async function session(
  port: number,
  path: string,
  protocol: string,
  begin: (socket: WebSocket) => void,
): Promise<{ channels: Map<number, string>; status: string }> {
  const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, protocol, {
    rejectUnauthorized: false,
  });
  const channels = new Map<number, string>();
  socket.on("message", (data: Buffer) => {
    const channel = data[0] ?? 0;
    channels.set(channel, (channels.get(channel) ?? "") + data.subarray(1).toString("latin1"));
  });
  const closed = once(socket, "close");
  // Channels of v4 know no end of one direction: a forwarded connection is over when it is silent.
  let silence: NodeJS.Timeout | undefined;
  if (protocol.startsWith("v4.")) {
    socket.on("message", (data: Buffer) => {
      clearTimeout(silence);
      if (data[0] === 0 && data.length > 3) silence = setTimeout(() => socket.close(), 1_000);
    });
  }
  await once(socket, "open");
  begin(socket);
  const timer = setTimeout(() => socket.terminate(), 20_000);
  await closed;
  clearTimeout(timer);
  clearTimeout(silence);
  return { channels, status: channels.get(3) ?? "{}" };
}

/** Looks twice a second until there is a value. */
export async function within<T>(
  timeoutMs: number,
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`no ${what} after ${timeoutMs / 1000} s`);
    await sleep(500);
  }
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** A static pod's manifest; containers get the test image and need only say what is special. */
export function staticPod(
  name: string,
  spec: {
    containers: Record<string, unknown>[];
    initContainers?: Record<string, unknown>[];
  } & Record<string, unknown>,
  metadata: Record<string, unknown> = {},
): object {
  const filled = (containers: Record<string, unknown>[]): object[] =>
    containers.map((container) => ({ image: busybox, imagePullPolicy: "Never", ...container }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, ...metadata },
    spec: {
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      ...spec,
      containers: filled(spec.containers),
      ...(spec.initContainers === undefined ? {} : { initContainers: filled(spec.initContainers) }),
    },
  };
}

/** A container that runs a shell line and obeys SIGTERM. */
export function sh(name: string, line: string, more: object = {}): Record<string, unknown> {
  return { name, command: ["sh", "-c", line], ...more };
}
/** Sleeps forever and ends at once on a signal. */
export const idle = "trap 'exit 0' TERM; while :; do sleep 0.2; done";
