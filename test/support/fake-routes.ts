import type { ServerResponse } from "node:http";
import type { Engine, ExecCreate } from "../../src/engine/engine.ts";
import { EngineError } from "../../src/engine/errors.ts";
import type { ContainerCreate, EngineEvent, ResourceConfig } from "../../src/engine/types.ts";
import type { FakeDocker } from "./fake-docker.ts";

/** One request as its handler sees it. */
export interface Exchange {
  engine: Engine;
  docker: FakeDocker;
  id: string;
  query: URLSearchParams;
  body: unknown;
  response: ServerResponse;
  signal: AbortSignal;
}

/** JSON to answer with; a number is a bare status; undefined: the handler answered by itself. */
type Handler = (exchange: Exchange) => Promise<unknown>;

export const routes: [method: string, path: RegExp, handler: Handler][] = [
  ["GET", /^\/version$/, ({ engine }) => engine.version()],
  ["GET", /^\/info$/, ({ engine }) => engine.info()],
  ["GET", /^\/system\/df$/, ({ engine }) => engine.diskUsage()],
  ["GET", /^\/events$/, streamEvents],
  ["POST", /^\/containers\/create$/, create],
  [
    "GET",
    /^\/containers\/json$/,
    async ({ engine, query }) => {
      const list = await engine.listContainers(filtersOf(query)["label"] ?? []);
      return query.get("all") === "1" ? list : list.filter((c) => c.State === "running");
    },
  ],
  ["GET", /^\/containers\/([^/]+)\/json$/, ({ engine, id }) => engine.inspectContainer(id)],
  [
    "POST",
    /^\/containers\/([^/]+)\/start$/,
    async ({ engine, id }) => ((await engine.startContainer(id)) ? 204 : 304),
  ],
  [
    "POST",
    /^\/containers\/([^/]+)\/stop$/,
    async ({ engine, id, query }) =>
      (await engine.stopContainer(id, Number(query.get("t") ?? "10"))) ? 204 : 304,
  ],
  [
    "POST",
    /^\/containers\/([^/]+)\/kill$/,
    async ({ engine, id, query }) => {
      await engine.killContainer(id, query.get("signal") ?? "KILL");
      return 204;
    },
  ],
  [
    "POST",
    /^\/containers\/([^/]+)\/update$/,
    async ({ engine, id, body }) => {
      await engine.updateContainer(id, body as ResourceConfig);
      return { Warnings: null };
    },
  ],
  [
    "POST",
    /^\/containers\/([^/]+)\/resize$/,
    async ({ engine, id }) => {
      await engine.resizeContainer(id, 0, 0);
      return 200;
    },
  ],
  [
    "POST",
    /^\/containers\/([^/]+)\/exec$/,
    async ({ engine, id, body, response }) => {
      response.statusCode = 201;
      return { Id: await engine.createExec(id, body as ExecCreate) };
    },
  ],
  ["DELETE", /^\/containers\/([^/]+)$/, remove],
  ["GET", /^\/exec\/([^/]+)\/json$/, ({ engine, id }) => engine.inspectExec(id)],
  [
    "POST",
    /^\/exec\/([^/]+)\/resize$/,
    async ({ engine, id }) => {
      await engine.resizeExec(id, 0, 0);
      return 200;
    },
  ],
  ["GET", /^\/images\/json$/, ({ engine }) => engine.listImages()],
  ["GET", /^\/images\/(.+)\/json$/, ({ engine, id }) => engine.inspectImage(id)],
  ["POST", /^\/images\/create$/, pull],
  [
    "POST",
    /^\/images\/(.+)\/tag$/,
    async ({ engine, id, query }) => {
      await engine.tagImage(id, query.get("repo") ?? "", query.get("tag") ?? "latest");
      return 201;
    },
  ],
  [
    "DELETE",
    /^\/images\/(.+)$/,
    async ({ engine, id, query }) => {
      await engine.removeImage(id, { force: query.get("force") === "1" });
      return [];
    },
  ],
];

/** The status and the engine's own words of an error; status 0 is a broken connection. */
export function answerOf(error: unknown): { status: number; message: string } {
  if (!(error instanceof EngineError)) return { status: 500, message: String(error) };
  const prefix = `${error.operation}: `;
  const { message } = error;
  return {
    status: error.status,
    message: message.startsWith(prefix) ? message.slice(prefix.length) : message,
  };
}

function filtersOf(query: URLSearchParams): Record<string, string[]> {
  return JSON.parse(query.get("filters") ?? "{}") as Record<string, string[]>;
}

async function create({ engine, query, body, response }: Exchange): Promise<unknown> {
  const created = await engine.createContainer(query.get("name") ?? "", body as ContainerCreate);
  response.statusCode = 201;
  return { Id: created.id, Warnings: created.warnings };
}

async function remove({ docker, engine, id, query }: Exchange): Promise<unknown> {
  if (query.get("force") === "1") await engine.removeContainer(id);
  else docker.remove(id, { force: false });
  return 204;
}

async function pull({ engine, query, response }: Exchange): Promise<undefined> {
  const source = {
    repository: query.get("fromImage") ?? "",
    tagOrDigest: query.get("tag") ?? "latest",
  };
  response.setHeader("Content-Type", "application/json");
  try {
    for await (const progress of engine.pullImage(source)) {
      response.write(`${JSON.stringify(progress)}\r\n`);
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    const { status, message } = answerOf(error);
    response.write(
      `${JSON.stringify({ errorDetail: { code: status, message }, error: message })}\r\n`,
    );
  }
  response.end();
}

async function streamEvents({ engine, query, response, signal }: Exchange): Promise<undefined> {
  const onSubscribed = (): void => {
    response.setHeader("Content-Type", "application/json");
    response.flushHeaders();
  };
  const since = query.get("since");
  const sinceNs = since === null ? undefined : BigInt(since.replace(".", ""));
  for await (const event of engine.events(filtersOf(query), { signal, onSubscribed, sinceNs })) {
    response.write(`${eventText(event)}\n`);
  }
  response.end();
}

/** As Docker writes it: the exact nanoseconds are a JSON number. */
function eventText(event: EngineEvent): string {
  const { timeNano, ...rest } = event;
  const text = JSON.stringify({ ...rest, scope: "local", time: Number(timeNano / 1_000_000_000n) });
  return `${text.slice(0, -1)},"timeNano":${timeNano}}`;
}
