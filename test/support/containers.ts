import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { expect } from "chai";
import type { ContainerInspect } from "../../src/engine/types.ts";
import type {
  LinuxContainerResourcesSchema,
  LinuxContainerSecurityContextSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { TestNode } from "./node.ts";
import { createContainer, untilExited } from "./pods.ts";
import type { ContainerInit, RunningPod } from "./pods.ts";

export type SecurityInit = Exclude<
  MessageInitShape<typeof LinuxContainerSecurityContextSchema>,
  Message
>;
export type ResourcesInit = Exclude<
  MessageInitShape<typeof LinuxContainerResourcesSchema>,
  Message
>;

/** One line of a CRI log. */
export interface LogLine {
  time: string;
  stream: string;
  tag: string;
  text: string;
}

export function logPathOf(pod: RunningPod, config: ContainerInit): string {
  return join(pod.sandbox.logDirectory ?? "", config.logPath ?? "");
}

/** Parses strictly: a line that is not of the CRI's form fails the test. */
export function parseCriLog(content: string): LogLine[] {
  const lines = content.split("\n");
  expect(lines.pop(), "a log ends with a line's end").to.equal("");
  return lines.map((line) => {
    const found = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(line);
    if (found === null) throw new Error(`not a CRI log line: ${line.slice(0, 200)}`);
    const [, time = "", stream = "", tag = "", text = ""] = found;
    return { time, stream, tag, text };
  });
}

export function readCriLog(path: string): LogLine[] {
  return existsSync(path) ? parseCriLog(readFileSync(path, "utf8")) : [];
}

/** The stream's text as the process wrote it; partial lines are joined. */
export function logText(lines: readonly LogLine[], stream = "stdout"): string {
  return lines
    .filter((line) => line.stream === stream)
    .map((line) => line.text + (line.tag === "F" ? "\n" : ""))
    .join("");
}

/** Runs a container to its end and removes it: its exit status and what it printed. */
export async function runToEnd(node: TestNode, pod: RunningPod, config: ContainerInit) {
  return await withContainer(node, pod, config, async (containerId) => {
    const status = await untilExited(node, containerId);
    const lines = readCriLog(logPathOf(pod, config));
    return { containerId, status, out: logText(lines), err: logText(lines, "stderr") };
  });
}

/** Starts a container, lets `work` look at it, and removes it whatever happens. */
export async function withContainer<T>(
  node: TestNode,
  pod: RunningPod,
  config: ContainerInit,
  work: (containerId: string) => Promise<T>,
): Promise<T> {
  const containerId = await createContainer(node, pod, config);
  try {
    await node.runtime.startContainer({ containerId });
    return await work(containerId);
  } finally {
    await node.runtime.removeContainer({ containerId });
  }
}

/** The call fails with this code, and its message, which is returned, says what is wrong. */
export async function expectError(
  call: Promise<unknown>,
  code: keyof typeof GrpcCode,
  message: RegExp,
): Promise<string> {
  let error: ServiceError | undefined;
  try {
    await call;
  } catch (thrown) {
    error = thrown as ServiceError;
  }
  expect(error, `${code} was expected`).to.not.equal(undefined);
  expect(`${GrpcCode[error?.code ?? 0]}: ${error?.details ?? ""}`).to.match(
    new RegExp(`^${code}: .*${message.source}`, `s${message.flags}`),
  );
  return error?.details ?? "";
}

/** Waits until `probe` is true. */
export async function until(what: string, probe: () => boolean | Promise<boolean>, ms = 10_000) {
  const end = Date.now() + ms;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`not within ${String(ms)} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export async function inspect(node: TestNode, containerId: string): Promise<ContainerInspect> {
  return await node.docker.inspectContainer(containerId);
}

/** A field of /proc/<pid>/status. */
export function procStatus(pid: number | string, field: string): string {
  const text = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  return (new RegExp(`^${field}:(.*)$`, "m").exec(text)?.[1] ?? "").trim();
}
