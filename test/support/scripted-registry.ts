import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo, Server as TcpServer, Socket } from "node:net";
import { manifestType } from "./registry-image.ts";
import type { RegistryImage } from "./registry-image.ts";

/** What a request to the registry is about. */
export type RegistryPart = "ping" | "manifest" | "config" | "layer" | "token";

/** A handler that returns true has answered the request, or means to keep it waiting. */
export type Script = (
  part: RegistryPart,
  request: IncomingMessage,
  response: ServerResponse,
) => boolean;

export interface ScriptedRegistry {
  readonly host: string;
  /** Requests so far, by part. */
  readonly seen: { part: RegistryPart; authorization: string | undefined }[];
  script: Script;
  image: RegistryImage;
  /** Breaks the connections there are, as a registry does that was restarted. */
  hangUp(): void;
  close(): Promise<void>;
}

/** A registry with one image under any name and tag, that misbehaves as its script says. */
export async function startScriptedRegistry(
  image: RegistryImage,
  script: Script = () => false,
): Promise<ScriptedRegistry> {
  const seen: ScriptedRegistry["seen"] = [];
  const server = createServer((request, response) => {
    const part = partOf(request.url ?? "", registry.image);
    seen.push({ part, authorization: request.headers.authorization });
    response.on("error", () => undefined);
    if (!registry.script(part, request, response)) answer(part, registry.image, response);
  });
  const served = await serve(server);
  const registry: ScriptedRegistry = { ...served, seen, script, image };
  return registry;
}

/** Accepts connections and never says anything. */
export async function startBlackHole(): Promise<{ host: string; close(): Promise<void> }> {
  return await serve(createTcpServer((socket) => socket.on("error", () => undefined)));
}

async function serve(
  server: TcpServer,
): Promise<{ host: string; hangUp(): void; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    hangUp,
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        hangUp();
      }),
  };
}

function partOf(url: string, image: RegistryImage): RegistryPart {
  if (url.startsWith("/token")) return "token";
  if (url.includes("/manifests/")) return "manifest";
  if (url.includes(image.layerDigest)) return "layer";
  if (url.includes(image.configDigest)) return "config";
  return "ping";
}

function answer(part: RegistryPart, image: RegistryImage, response: ServerResponse): void {
  if (part === "manifest") {
    response.setHeader("Content-Type", manifestType);
    response.setHeader("Docker-Content-Digest", image.manifestDigest);
  }
  const body = { manifest: image.manifest, config: image.config, layer: image.layer }[
    part as "manifest"
  ] as Buffer | undefined;
  const bytes = body ?? Buffer.from("{}");
  response.setHeader("Docker-Distribution-Api-Version", "registry/2.0");
  response.setHeader("Content-Length", bytes.length);
  response.end(bytes);
}
