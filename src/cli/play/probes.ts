import type { Fields } from "./fields.ts";
import type { Hooks, Probe, ProbeAction, Probes } from "./plan.ts";

/** The three probes of a container; `ports` are its named ones. */
export function readProbes(container: Fields, ports: ReadonlyMap<string, number>): Probes {
  const probes: Probes = {};
  for (const kind of ["startup", "liveness", "readiness"] as const) {
    const fields = container.mapping(`${kind}Probe`);
    const probe = fields === undefined ? undefined : readProbe(fields, kind, ports);
    if (probe !== undefined) probes[kind] = probe;
  }
  return probes;
}

/** What the container's lifecycle has done at its start and before its stop. */
export function readHooks(container: Fields, ports: ReadonlyMap<string, number>): Hooks {
  const lifecycle = container.mapping("lifecycle");
  const hooks: Hooks = {};
  for (const kind of ["postStart", "preStop"] as const) {
    const fields = lifecycle?.mapping(kind);
    if (fields === undefined) continue;
    const sleep = fields.mapping("sleep");
    const seconds = sleep?.count("seconds", 0);
    sleep?.finish();
    const action = readAction(fields, ports);
    fields.finish();
    if (action !== undefined) hooks[kind] = action;
    else if (seconds !== undefined) hooks[kind] = { kind: "sleep", seconds };
    else fields.problem("exec", "want one of exec, httpGet, tcpSocket, sleep");
  }
  lifecycle?.finish({ unsupported: ["stopSignal"] });
  return hooks;
}

/** Undefined where there is none; a problem where there are several. */
function readAction(fields: Fields, ports: ReadonlyMap<string, number>): ProbeAction | undefined {
  const found = [
    readExec(fields.mapping("exec")),
    readHttp(fields.mapping("httpGet"), ports),
    readTcp(fields.mapping("tcpSocket"), ports),
  ].filter((action) => action !== undefined);
  if (found.length > 1) fields.problem("exec", "is not the only action");
  return found[0];
}

function readProbe(
  fields: Fields,
  kind: keyof Probes,
  ports: ReadonlyMap<string, number>,
): Probe | undefined {
  const action = readAction(fields, ports);
  const isGrpc = fields.has("grpc");
  if (action === undefined && !isGrpc) {
    fields.problem("exec", "want one of exec, httpGet, tcpSocket");
  }
  const graceSeconds = fields.integer("terminationGracePeriodSeconds");
  if (kind === "readiness" && graceSeconds !== undefined) {
    fields.problem("terminationGracePeriodSeconds", "a readiness probe ends nothing");
  }
  const successThreshold = fields.count("successThreshold", 1, 1);
  if (kind !== "readiness" && successThreshold !== 1) fields.problem("successThreshold", "want 1");
  const timing = {
    initialDelayMs: fields.count("initialDelaySeconds", 0) * 1000,
    periodMs: fields.count("periodSeconds", 10, 1) * 1000,
    timeoutMs: fields.count("timeoutSeconds", 1, 1) * 1000,
    successThreshold,
    failureThreshold: fields.count("failureThreshold", 3, 1),
    graceSeconds,
  };
  fields.finish({ unsupported: ["grpc"] });
  return action === undefined ? undefined : { action, ...timing };
}

function readExec(fields: Fields | undefined): ProbeAction | undefined {
  if (fields === undefined) return undefined;
  const command = fields.texts("command");
  if (command.length === 0) fields.problem("command", "is empty");
  fields.finish();
  return { kind: "exec", command };
}

function readHttp(
  fields: Fields | undefined,
  ports: ReadonlyMap<string, number>,
): ProbeAction | undefined {
  if (fields === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const header of fields.list("httpHeaders")) {
    headers[header.text("name")] = header.text("value");
    header.finish();
  }
  const path = fields.text("path", "/");
  const action: ProbeAction = {
    kind: "http",
    scheme: fields.choice("scheme", ["HTTP", "HTTPS"], "HTTP"),
    host: fields.text("host"),
    port: readPort(fields, ports),
    path: path.startsWith("/") ? path : `/${path}`,
    headers,
  };
  fields.finish();
  return action;
}

function readTcp(
  fields: Fields | undefined,
  ports: ReadonlyMap<string, number>,
): ProbeAction | undefined {
  if (fields === undefined) return undefined;
  const action: ProbeAction = {
    kind: "tcp",
    host: fields.text("host"),
    port: readPort(fields, ports),
  };
  fields.finish();
  return action;
}

/** A number, or the name of one of the container's ports. */
function readPort(fields: Fields, ports: ReadonlyMap<string, number>): number {
  const value = fields.raw("port");
  const port = typeof value === "string" ? (ports.get(value) ?? Number(value)) : value;
  if (typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65535) return port;
  fields.problem("port", "want 1 to 65535, or the name of a port of the container");
  return 1;
}
