import { chmodSync } from "node:fs";
import { createServer } from "node:http";
import type { RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { unixPath } from "../../cri/listener.ts";
import { errorText, invalidArgument } from "../../errors.ts";
import type { Logger } from "../../log.ts";
import type { Metrics } from "./sources.ts";
import { parseListenAddress } from "../../streaming/listen-address.ts";
import { unlinkIfExists } from "../../sys/fs.ts";
import { TlsFiles } from "./tls-files.ts";
import type { MetricsTls } from "./tls-files.ts";

export type { MetricsTls } from "./tls-files.ts";

export interface Health {
  engineReady: boolean;
  /** Why not. */
  reason: string;
  synced: boolean;
  ageMs: number;
}

/** Idle and slow readers of a page that takes milliseconds must not use up the descriptors. */
const mostConnections = 64;

/**
 * `/metrics`, `/healthz` (200 while the daemon answers: a restart would not cure a dead engine) and
 * `/readyz` (503 with the reason while Docker does not answer). Without TLS nobody is asked who they are, so it
 * listens on loopback or a unix socket only. With TLS it answers those who have a client certificate.
 *
 * @throws CriError InvalidArgument for an address that others could reach without one, and TLS files that are not there
 */
export async function serveMetrics(options: {
  /** "127.0.0.1:port", "unix:///path", or with `tls` any "host:port". */
  address: string;
  tls?: MetricsTls | undefined;
  metrics: Metrics;
  health: () => Health;
  log: Logger;
}): Promise<{ close(): Promise<void>; port: number | undefined }> {
  const { address, tls, metrics, health, log } = options;
  const where = placeOf(address, tls);
  const onRequest: RequestListener = (request, response) => {
    answer(request.url ?? "", metrics, health(), response).catch((error: unknown) => {
      log.warn({ error: errorText(error) }, "metrics could not be read");
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  };
  const server = tls === undefined ? createServer(onRequest) : tlsServer(tls, onRequest, log);
  server.requestTimeout = 10_000;
  server.maxConnections = mostConnections;
  await listen(server, where);
  log.info({ address, clientCertificates: tls !== undefined }, "serving metrics");
  const bound = server.address();
  return {
    port: bound === null || typeof bound === "string" ? undefined : bound.port,
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

/** Connections are few, and one without a certificate must not hold its place for long. */
const handshakeTimeoutMs = 10_000;

function tlsServer(tls: MetricsTls, onRequest: RequestListener, log: Logger): Server {
  const files = new TlsFiles(tls);
  const server = createTlsServer(
    {
      ...files.read(),
      ...{ requestCert: true, rejectUnauthorized: true, handshakeTimeout: handshakeTimeoutMs },
    },
    onRequest,
  );
  // Certificates change rarely, so instead of a timer each new connection looks, before its handshake.
  server.prependListener("connection", () => {
    try {
      if (files.haveChanged()) server.setSecureContext(files.read());
    } catch (error) {
      log.warn({ error: errorText(error) }, "new certificate of the metrics server is not usable");
    }
  });
  server.on("tlsClientError", (error, socket) => {
    log.debug({ error: errorText(error), peer: socket.remoteAddress }, "metrics client refused");
  });
  return server;
}

async function listen(server: Server, where: Place): Promise<void> {
  if ("path" in where) {
    // The instance lock is ours, so whoever made this file is gone.
    await unlinkIfExists(where.path);
    await listening(server, where);
    chmodSync(where.path, 0o660);
    return;
  }
  await listening(server, where);
}

type Place = { path: string } | { host: string; port: number };

function placeOf(address: string, tls: MetricsTls | undefined): Place {
  if (tls !== undefined && Object.values(tls).includes("")) {
    throw invalidArgument(
      "metrics: --metrics-tls-cert, --metrics-tls-key and --metrics-client-ca belong together; set all three or none",
    );
  }
  if (address.startsWith("unix://")) {
    if (tls === undefined) return { path: unixPath(address) };
    throw invalidArgument(`metrics address "${address}": a unix socket takes no certificates`);
  }
  let parsed: ReturnType<typeof parseListenAddress> | undefined;
  try {
    parsed = parseListenAddress(address);
  } catch {
    // Its message speaks of another option.
  }
  if (parsed === undefined || (!parsed.loopback && tls === undefined)) {
    throw invalidArgument(
      `metrics address "${address}": want 127.0.0.1:port or unix:///path; any other host:port needs --metrics-tls-cert, ` +
        "--metrics-tls-key and --metrics-client-ca, so that only clients with a certificate are answered",
    );
  }
  return { host: parsed.host, port: parsed.port };
}

function listening(server: Server, where: Place) {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
