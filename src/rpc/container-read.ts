import { toBinary } from "@bufbuild/protobuf";
import { dockerLogPath } from "../convert/inspect-facts.ts";
import { isContainer } from "../convert/container-facts.ts";
import { matchesContainer } from "../convert/filters.ts";
import { containerRun } from "../convert/state.ts";
import { Encoded } from "../cri/bind.ts";
import type { Handlers } from "../cri/bind.ts";
import { invalidArgument, notFound } from "../errors.ts";
import { ContainerSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerFilter, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import { FragmentCache, framed } from "../index/encoded.ts";
import type { EndedUsers } from "../containers/ended-users.ts";
import type { LogDrains } from "../containers/log-drains.ts";
import type { PodHooks } from "../pods/hooks.ts";
import type { Views } from "./views.ts";

export interface ContainerReadDeps {
  index: ContainerIndex;
  views: Views;
  drains: LogDrains;
  endedUsers: Pick<EndedUsers, "settle">;
  hooks: Pick<PodHooks, "isHidden" | "shown">;
}

/** Field number of `containers` in both list responses. */
const containersField = 1;
/** Field number of `status` in ContainerStatusResponse. */
const statusField = 1;
/** Lists come every second, so they wait less for a log than a status does. */
const listDrainMs = 250;
const statusDrainMs = 2_000;
/** For the user of a container that has ended; what a slow engine says later the next status shows. */
const statusUserMs = 2_000;

/** ListContainers, StreamContainers, ContainerStatus. */
export function containerRead(
  deps: ContainerReadDeps,
): Pick<
  Handlers<typeof RuntimeService>,
  "listContainers" | "streamContainers" | "containerStatus"
> {
  let cache = newCache(deps.views);
  let imagesRevision = deps.index.images.revision;
  const fragments = (): FragmentCache<ContainerEntry> => {
    // A container shows its image's names, which are not part of its entry.
    if (deps.index.images.revision !== imagesRevision) {
      imagesRevision = deps.index.images.revision;
      cache = newCache(deps.views);
    }
    return cache;
  };
  const list = async (filter: ContainerFilter | undefined): Promise<readonly ContainerEntry[]> => {
    const all = deps.hooks.shown(await deps.index.containers());
    const entries = filter === undefined ? all : all.filter((entry) => matches(entry, filter));
    await deps.drains.settle(entries, listDrainMs);
    return entries;
  };
  return {
    listContainers: async (request) => new Encoded(fragments().list(await list(request.filter))),
    streamContainers: async function* (request) {
      for (const chunk of fragments().chunks(await list(request.filter))) yield new Encoded(chunk);
    },
    containerStatus: async (request) => {
      const id = request.containerId;
      if (id === "") throw invalidArgument("container id is empty");
      const found = await deps.index.find("container", id);
      if (found === undefined || deps.hooks.isHidden(found)) throw notFound(`no container ${id}`);
      await deps.drains.settle([found], statusDrainMs);
      await deps.endedUsers.settle([found], statusUserMs);
      if (!request.verbose)
        return new Encoded(framed(statusField, deps.views.encodedStatus(found)));
      return { status: deps.views.containerStatus(found), info: verboseInfo(found) };
    },
  };
}

function newCache(views: Views): FragmentCache<ContainerEntry> {
  return new FragmentCache(containersField, (entry: ContainerEntry) =>
    toBinary(ContainerSchema, views.container(entry)),
  );
}

function matches(entry: ContainerEntry, filter: ContainerFilter): boolean {
  if (!isContainer(entry)) return false;
  return matchesContainer(
    {
      id: entry.id,
      podSandboxId: entry.identity.podSandboxId,
      state: containerRun(entry.state, entry.createdAtNs).state,
      labels: entry.identity.labels,
    },
    filter,
  );
}

/** For `crictl inspect`: no environment and no command, which may hold secrets (T18). */
function verboseInfo(entry: ContainerEntry): Record<string, string> {
  const { identity, inspect } = entry;
  return {
    info: JSON.stringify({
      sandboxID: identity.kind === "container" ? identity.podSandboxId : "",
      pid: entry.state.Pid,
      name: entry.name,
      legacy: identity.legacy,
      runtime: inspect?.HostConfig.Runtime ?? "",
      dockerLogPath: dockerLogPath(entry.id, inspect),
    }),
  };
}
