/*
 * src/streaming: exec, attach and port-forward: tokens, SPDY and WebSocket, the helper in the pod.
 * Not here: choosing the container: a token stands for what an RPC has decided.
 */
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import type { AttachGrant } from "./attach.ts";
import type { StreamingServerDeps } from "./deps.ts";
import type { ExecGrant } from "./exec.ts";
import { parseListenAddress, urlHost } from "./listen-address.ts";
import type { PortForwardGrant } from "./port-forward.ts";
import { createSessions } from "./session.ts";
import { createTokenStore } from "./tokens.ts";
import type { StreamKind } from "./tokens.ts";
import { isRefusal, maxRequestHeaders, readUpgrade, refuse } from "./upgrade.ts";

export interface StreamingServer {
  /**
   * One-time URLs, good for a minute. Throw InvalidArgument for requests that the CRI forbids,
   * ResourceExhausted with 1000 unused URLs in flight, Unavailable when the server is not up.
   */
  execUrl(request: ExecGrant): string;
  attachUrl(request: AttachGrant): string;
  portForwardUrl(request: PortForwardGrant): string;
  start(): Promise<void>;
  /** Takes no new sessions, waits `graceMs` for those under way, then ends them. */
  close(graceMs: number): Promise<void>;
  /** Undefined before `start` and after `close`. */
  readonly address: AddressInfo | undefined;
  /** Sessions under way, execs included whose client has left while their output is drained. */
  sessions(): number;
}

interface Grants extends Record<StreamKind, unknown> {
  exec: ExecGrant;
  attach: AttachGrant;
  portforward: PortForwardGrant;
}

const httpLimits: ServerOptions = {
  insecureHTTPParser: false,
  requireHostHeader: true,
  // As Go's servers: behind some login proxies a browser's cookies alone have tens of KiB.
  maxHeaderSize: 1 << 20,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 1_000,
  connectionsCheckingInterval: 2_000,
  noDelay: true,
  // Finds clients that vanished with their machine.
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
};

function readSecret(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw invalidArgument(`streaming ${what}: ${errorText(error)}`);
  }
}

/** A descriptor for each: enough for every pod of a node, too few to starve the daemon. */
const maxConnections = 2048;

/** Throws InvalidArgument for an address that would serve other machines in the clear. */
export function createStreamingServer(deps: StreamingServerDeps): StreamingServer {
  const bind = parseListenAddress(deps.bindAddress ?? "127.0.0.1:0");
  if (!bind.loopback && deps.tls === undefined && deps.allowInsecureBind !== true) {
    throw invalidArgument(
      `streaming address "${deps.bindAddress ?? ""}" is open to other machines: give it a ` +
        "certificate, or allow it without",
    );
  }
  const tokens = createTokenStore<Grants>({ clock: deps.clock });
  const sessions = createSessions(deps);
  let server: Server | undefined;
  let address: AddressInfo | undefined;
  /** Connections that have been answered: nothing more is taken from them. */
  const answered = new WeakSet<Duplex>();

  const urlOf = (kind: StreamKind, token: string): string => {
    const scheme = deps.tls === undefined ? "http" : "https";
    const base = deps.baseUrl ?? (address === undefined ? "" : `${scheme}://${urlHost(address)}`);
    return `${base}/${kind}/${token}`;
  };
  const issue = <K extends StreamKind>(kind: K, grant: Grants[K]): string => {
    if (address === undefined) {
      throw new CriError("Unavailable", `${kind}: the streaming server is not running`);
    }
    return urlOf(kind, tokens.issue(kind, grant));
  };

  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", () => undefined);
    if (answered.has(socket)) {
      socket.destroy();
      return;
    }
    answered.add(socket);
    const request = readUpgrade(req);
    if (isRefusal(request)) {
      refuse(socket, request);
      return;
    }
    const grant = tokens.take(request.kind, request.token);
    if (grant === undefined) {
      refuse(socket, { code: 404, message: "not found" });
      return;
    }
    const client = { req, socket, head, request };
    switch (request.kind) {
      case "exec":
        sessions.exec(client, grant as ExecGrant);
        break;
      case "attach":
        sessions.attach(client, grant as AttachGrant);
        break;
      case "portforward":
        sessions.portForward(client, grant as PortForwardGrant);
        break;
    }
  };

  const start = async (): Promise<void> => {
    const created =
      deps.tls === undefined
        ? createHttpServer(httpLimits)
        : createHttpsServer({
            ...httpLimits,
            cert: readSecret("certificate", deps.tls.certFile),
            key: readSecret("key", deps.tls.keyFile),
            minVersion: "TLSv1.2",
          });
    // Node silently drops the rest, which could hide the header that matters: with one more than we
    // take, the request is refused, and nobody has to read a megabyte of them first.
    created.maxHeadersCount = maxRequestHeaders + 1;
    created.maxConnections = maxConnections;
    created.on("upgrade", onUpgrade);
    created.on("request", (req, res) => {
      const code = readUpgrade(req);
      answered.add(req.socket);
      res.writeHead(isRefusal(code) ? code.code : 400, { connection: "close" });
      res.end("only upgrades are served here\n");
    });
    created.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (socket.writable && !answered.has(socket)) {
        answered.add(socket);
        const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
        refuse(
          socket,
          tooLarge
            ? { code: 431, message: "headers are too large" }
            : { code: 400, message: "bad request" },
        );
      } else socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      created.once("error", reject);
      created.listen({ host: bind.host, port: bind.port }, () => {
        created.off("error", reject);
        resolve();
      });
    });
    created.on("error", (err) => deps.log.error({ err }, "streaming listener failed"));
    server = created;
    address = created.address() as AddressInfo;
    deps.log.info({ address: urlHost(address) }, "streaming server listens");
  };

  const close = async (graceMs: number): Promise<void> => {
    const closing = server;
    server = undefined;
    address = undefined;
    tokens.clear();
    const closed = new Promise<void>((resolve) => {
      if (closing === undefined) resolve();
      else closing.close(() => resolve());
    });
    await sessions.close(graceMs);
    closing?.closeAllConnections();
    await closed;
  };

  return {
    execUrl(request) {
      checkCommand("exec", request);
      if (request.cmd.length === 0) throw invalidArgument("exec: cmd is empty");
      return issue("exec", { ...request, cmd: [...request.cmd] });
    },
    attachUrl(request) {
      checkCommand("attach", request);
      return issue("attach", { ...request });
    },
    portForwardUrl(request) {
      if (request.podSandboxId === "")
        throw invalidArgument("port forward: pod_sandbox_id is empty");
      for (const port of request.ports) {
        if (!Number.isInteger(port) || port < 1 || port > 65_535) {
          throw invalidArgument(`port forward: ${port} is not a port`);
        }
      }
      return issue("portforward", { ...request, ports: [...request.ports] });
    },
    start,
    close,
    get address() {
      return address;
    },
    sessions: () => sessions.count(),
  };
}

function checkCommand(kind: "exec" | "attach", request: AttachGrant): void {
  if (request.containerId === "") throw invalidArgument(`${kind}: container_id is empty`);
  if (request.tty && request.stderr) {
    throw invalidArgument(`${kind}: tty and stderr cannot both be true`);
  }
  if (!request.stdin && !request.stdout && !request.stderr) {
    throw invalidArgument(`${kind}: one of stdin, stdout, or stderr must be set`);
  }
}
