import { chmodSync } from "node:fs";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import { unixPath } from "../cri/listener.ts";
import { errorText, invalidArgument } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { parseListenAddress } from "../streaming/listen-address.ts";
import { unlinkIfExists } from "../sys/fs.ts";

export interface Health {
  engineReady: boolean;
  /** Why not. */
  reason: string;
  synced: boolean;
  ageMs: number;
}

/**
 * `/metrics`, `/healthz` (200 while the daemon answers: a restart would not cure a dead engine) and
 * `/readyz` (503 with the reason while Docker does not answer). Nobody is asked who they are, so it
 * listens on loopback or a unix socket only.
 */
export async function serveMetrics(options: {
  /** "127.0.0.1:port" or "unix:///path". */
  address: string;
  metrics: Metrics;
  health: () => Health;
  log: Logger;
}): Promise<{ close(): Promise<void> }> {
  const { metrics, health, log } = options;
  const server = createServer((request, response) => {
    answer(request.url ?? "", metrics, health(), response).catch((error: unknown) => {
      log.warn({ error: errorText(error) }, "metrics could not be read");
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  });
  server.requestTimeout = 10_000;
  await listen(server, options.address);
  log.info({ address: options.address }, "serving metrics");
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  url: string,
  metrics: Metrics,
  health: Health,
  response: ServerResponse,
): Promise<void> {
  const path = url.split("?")[0];
  if (path === "/metrics") {
    const { type, text } = await metrics.expose();
    response.writeHead(200, { "content-type": type }).end(text);
    return;
  }
  if (path !== "/healthz" && path !== "/readyz") {
    response.writeHead(404).end();
    return;
  }
  const status = path === "/readyz" && !health.engineReady ? 503 : 200;
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(health));
}

async function listen(server: Server, address: string): Promise<void> {
  if (address.startsWith("unix://")) {
    const path = unixPath(address);
    // The instance lock is ours, so whoever made this file is gone.
    await unlinkIfExists(path);
    await listening(server, { path });
    chmodSync(path, 0o660);
    return;
  }
  await listening(server, loopbackAddress(address));
}

function loopbackAddress(address: string): { host: string; port: number } {
  let parsed: ReturnType<typeof parseListenAddress> | undefined;
  try {
    parsed = parseListenAddress(address);
  } catch {
    // Its message speaks of another option.
  }
  if (parsed?.loopback !== true) {
    throw invalidArgument(`metrics address "${address}": want 127.0.0.1:port or unix:///path`);
  }
  return { host: parsed.host, port: parsed.port };
}

function listening(server: Server, where: { path: string } | { host: string; port: number }) {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
