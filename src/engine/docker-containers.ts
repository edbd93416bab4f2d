import type Docker from "dockerode";
import type { IncomingMessage } from "node:http";
import type { ArchiveStream, Engine } from "./engine.ts";
import { isStatus } from "./errors.ts";
import { hijackedOf, listOf, objectWith, responseOf } from "./requests.ts";
import type { Request, Requests } from "./requests.ts";
import { pathSegment } from "./route.ts";
import type { ContainerInspect, ContainerSummary } from "./types.ts";

type ContainerCalls = Pick<
  Engine,
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "killContainer"
  | "removeContainer"
  | "inspectContainer"
  | "listContainers"
  | "updateContainer"
  | "resizeContainer"
  | "attachContainer"
  | "readArchive"
>;

/** What a stop may take beyond its grace period: the engine kills, waits and unmounts. */
const stopSlackMs = 60_000;
/** Mounts on a slow network file system and image layers being unpacked make these slow. */
const startMs = 240_000;

export function containerCalls(requests: Requests): ContainerCalls {
  const on = <T>(
    request: Request,
    id: string,
    work: (container: Docker.Container) => Promise<T>,
  ): Promise<T> =>
    requests.run(request, (docker) =>
      work(docker.getContainer(pathSegment("container", id, request.operation))),
    );

  return {
    createContainer: async (name, body, options) => {
      const operation = "create container";
      let warnings: string[] = [];
      // dockerode drops the warnings, so they are kept while the answer is read.
      const parse = (text: string): unknown => {
        const answer = JSON.parse(text) as { Warnings?: unknown } | null;
        if (Array.isArray(answer?.Warnings)) warnings = answer.Warnings.map(String);
        return objectWith<{ Id: string }>(operation, "Id", answer);
      };
      const _query = { name };
      return await requests.run(
        { operation, lane: "create", budgetMs: startMs, options, parse },
        async (docker) => {
          const created = await docker.createContainer({
            _query,
            _body: body,
          } as Docker.ContainerCreateOptions);
          return { id: created.id, warnings };
        },
      );
    },

    startContainer: (id, options) =>
      unlessNotModified(
        on(
          { operation: "start container", lane: "start", budgetMs: startMs, options },
          id,
          (container) => container.start(),
        ),
      ),

    stopContainer: (id, graceSeconds, options) => {
      const budgetMs = graceSeconds * 1000 + stopSlackMs;
      return unlessNotModified(
        on(
          { operation: "stop container", lane: "stop", budgetMs, options, fixedBudget: true },
          id,
          (container) =>
            container.stop({ _query: { t: graceSeconds } } as Docker.ContainerStopOptions),
        ),
      );
    },

    killContainer: async (id, signal, options) => {
      await on(
        { operation: "kill container", lane: "kill", budgetMs: 60_000, options },
        id,
        (container) => container.kill({ _query: { signal } }),
      );
    },

    removeContainer: async (id, options) => {
      await on(
        { operation: "remove container", lane: "change", budgetMs: 120_000, options },
        id,
        (container) =>
          container.remove({ _query: { force: true, v: true } } as Docker.ContainerRemoveOptions),
      );
    },

    // Docker's 64-bit numbers stay JSON numbers here: the ones that pass 2^53 are "no limit" values
    // (2^63 - 4096), which a double holds well enough to be told from a limit.
    inspectContainer: (idOrName, options) => {
      const operation = "inspect container";
      return on(
        { operation, lane: "inspectContainer", budgetMs: 10_000, options },
        idOrName,
        async (found) => objectWith<ContainerInspect>(operation, "Id", await found.inspect()),
      );
    },

    listContainers: (labels, options) => {
      const operation = "list containers";
      const filters = labels.length === 0 ? undefined : { label: labels };
      return requests.run({ operation, lane: "list", budgetMs: 30_000, options }, async (docker) =>
        listOf<ContainerSummary>(
          operation,
          await docker.listContainers({
            _query: { all: true, filters },
          } as Docker.ContainerListOptions),
        ),
      );
    },

    updateContainer: async (id, resources, options) => {
      await on(
        { operation: "update container", lane: "change", budgetMs: 60_000, options },
        id,
        (container) => container.update({ _body: resources }),
      );
    },

    resizeContainer: async (id, width, height) => {
      await on(
        { operation: "resize container", lane: "exec", budgetMs: 10_000, options: undefined },
        id,
        (container) => container.resize({ _query: { w: width, h: height } }),
      );
    },

    attachContainer: (id, options) => {
      const operation = "attach container";
      const { stdin, stdout, stderr, detachKeys } = options;
      const _query = { stream: true, stdin, stdout, stderr, detachKeys };
      return on({ operation, lane: "long", budgetMs: 60_000, options }, id, async (container) =>
        hijackedOf(
          operation,
          await container.attach({ hijack: true, _query } as Docker.ContainerAttachOptions),
        ),
      );
    },

    readArchive: (id, path, options) => {
      const operation = "read container file";
      return on({ operation, lane: "long", budgetMs: 60_000, options }, id, async (container) =>
        withLinkTarget(responseOf(operation, await container.getArchive({ _query: { path } }))),
      );
    },
  };
}

/** Docker's 304 says that the container was in that state already. */
async function unlessNotModified(request: Promise<unknown>): Promise<boolean> {
  try {
    await request;
    return true;
  } catch (error) {
    if (isStatus(error, 304)) return false;
    throw error;
  }
}

/** What Docker says of the path beside its archive: base64 of a JSON object. */
function withLinkTarget(response: IncomingMessage): ArchiveStream {
  const header = response.headers["x-docker-container-path-stat"];
  try {
    const text = Buffer.from(String(header), "base64").toString("utf8");
    const { linkTarget } = JSON.parse(text) as { linkTarget?: unknown };
    if (typeof linkTarget !== "string" || linkTarget === "") return response;
    return Object.assign(response, { linkTarget });
  } catch {
    // Without it a link counts as what is no file.
    return response;
  }
}
