import { connect, createServer } from "node:net";
import type { Socket } from "node:net";

/** What a bridge sent to the engine, so that the raw contender can send the same. */
export interface Recorder {
  /** Bodies of POST requests to a path, in their order. */
  bodies(path: RegExp): unknown[];
  close(): Promise<void>;
}

/**
 * Passes bytes on and keeps the requests. Wants a client that opens a connection for each request,
 * as the counting proxy does.
 */
export async function startRecorder(upstream: string, listen: string): Promise<Recorder> {
  const seen: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const chunks: Buffer[] = [];
    seen.push(chunks);
    const engine = connect({ path: upstream, allowHalfOpen: true });
    client.on("data", (chunk: Buffer) => {
      // Requests of interest are small; a long stream is not kept.
      if (chunks.length < 16) chunks.push(chunk);
    });
    client.pipe(engine);
    engine.pipe(client);
    for (const socket of [client, engine]) {
      sockets.add(socket);
      socket.on("error", () => {
        client.destroy();
        engine.destroy();
      });
      socket.on("close", () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(listen, resolve));
  return {
    bodies: (path) =>
      seen.flatMap((chunks) => {
        const text = Buffer.concat(chunks).toString("utf8");
        const target = /^POST (\S+)/.exec(text)?.[1] ?? "";
        const body = text.slice(text.indexOf("\r\n\r\n") + 4);
        return path.test(target) ? [JSON.parse(body) as unknown] : [];
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
