import { WebSocket } from "ws";
import { atOnce } from "../support/at-once.ts";
import type { TestNode } from "../support/node.ts";

/**
 * Attaches and leaves: once output has come, or without a word. Nothing of it may stay: neither a
 * handle here nor a goroutine in dockerd (CVE-2025-64329).
 */
export async function attachAndLeave(
  node: TestNode,
  containerId: string,
  abruptly: boolean,
): Promise<void> {
  const { url } = await node.runtime.attach(
    { containerId, stdout: true, stderr: true },
    { timeoutMs: 30_000 },
  );
  await visit(url, abruptly, () => true);
}

/** An exec of a program that is not there, with a terminal and window sizes (CVE-2022-23471). */
export async function execMissing(node: TestNode, containerId: string): Promise<void> {
  const { url } = await node.runtime.exec(
    { containerId, cmd: ["/no/such/program"], tty: true, stdin: true, stdout: true },
    { timeoutMs: 30_000 },
  );
  await visit(url, false, () => false, '{"Width":80,"Height":24}');
}

/** Ends when `enough` says so of a message, when the server closes, or after 20 s with an error. */
function visit(
  url: string,
  abruptly: boolean,
  enough: (data: Buffer) => boolean,
  size?: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, "ws"), ["v5.channel.k8s.io"]);
    const timer = setTimeout(() => {
      socket.terminate();
      reject(new Error(`${url.slice(0, 30)}: no end within 20 s`));
    }, 20_000);
    const end = (error?: Error): void => {
      clearTimeout(timer);
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.on("open", () => {
      if (size !== undefined) socket.send(Buffer.concat([Buffer.from([4]), Buffer.from(size)]));
      if (abruptly) socket.terminate();
    });
    socket.on("message", (data: Buffer) => {
      // An empty message on the lowest channel only says hello.
      if (data.length > 1 && enough(data)) socket.close();
    });
    socket.on("close", () => end());
    socket.on("error", end);
  });
}

/** So many rounds of both, eight at a time. */
export async function streamRounds(
  node: TestNode,
  containerId: string,
  rounds: number,
): Promise<void> {
  await atOnce(8, rounds, async (at) => {
    await attachAndLeave(node, containerId, at % 3 === 0);
    await execMissing(node, containerId);
  });
}
