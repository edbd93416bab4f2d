import { WebSocket } from "ws";

/** Sends the input to an attach or exec URL and resolves with stdout once the server closes. */
export async function attachedOutput(url: string, input: string): Promise<string> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), ["v5.channel.k8s.io"]);
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.on("open", () => {
      socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(input)]));
    });
    socket.on("message", (data: Buffer) => {
      if (data[0] === 1) chunks.push(data.subarray(1));
    });
    socket.on("close", () => resolve());
    socket.on("error", reject);
  });
  return Buffer.concat(chunks).toString("utf8");
}
