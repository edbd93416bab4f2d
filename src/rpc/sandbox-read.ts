import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import type { JsonValue } from "@bufbuild/protobuf";
import { isSandbox } from "../convert/container-facts.ts";
import { matchesPodSandbox } from "../convert/filters.ts";
import { parseName } from "../convert/names.ts";
import { decodeSandboxSpec } from "../convert/stored-spec.ts";
import { Encoded } from "../cri/bind.ts";
import type { Handlers } from "../cri/bind.ts";
import { invalidArgument, notFound } from "../errors.ts";
import {
  LinuxContainerResourcesSchema,
  PodSandboxConfigSchema,
  PodSandboxSchema,
  PodSandboxState,
  PodSandboxStatusResponseSchema,
  PodSandboxStatusSchema,
} from "../gen/runtime/v1/api_pb.js";
import type {
  LinuxContainerResources,
  PodSandbox,
  PodSandboxFilter,
  PodSandboxStatus,
  RuntimeService,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import { FragmentCache, framed, joinList } from "../index/encoded.ts";
import type { SandboxRecord, SandboxRecords } from "../state/sandbox-records.ts";
import type { Clock } from "../sys/clock.ts";
import type { EndedUsers } from "../containers/ended-users.ts";
import type { LogDrains } from "../containers/log-drains.ts";
import type { PodDeps } from "../pods/deps.ts";
import type { PodHooks } from "../pods/hooks.ts";
import type { Views } from "./views.ts";

export interface SandboxReadDeps {
  index: ContainerIndex;
  records: SandboxRecords;
  views: Views;
  drains: LogDrains;
  endedUsers: Pick<EndedUsers, "settle">;
  /** Called with the sandboxes that were shown as READY. */
  sandboxes: Pick<PodDeps["sandboxes"], "claim" | "delFailureOf">;
  clock: Clock;
  hooks: Pick<PodHooks, "isHidden" | "shown">;
}

/** Field number of the sandboxes in both list responses. */
const itemsField = 1;
/** Field number of `status` in PodSandboxStatusResponse. */
const statusField = 1;
/** Field number of `containers_statuses` in PodSandboxStatusResponse. */
const statusesField = 3;

/** ListPodSandbox, StreamPodSandboxes, PodSandboxStatus. */
export function sandboxRead(
  deps: SandboxReadDeps,
): Pick<
  Handlers<typeof RuntimeService>,
  "listPodSandbox" | "streamPodSandboxes" | "podSandboxStatus"
> {
  const cache = new FragmentCache(itemsField, (entry: ContainerEntry) =>
    toBinary(PodSandboxSchema, deps.views.podSandbox(entry)),
  );
  const list = async (
    filter: PodSandboxFilter | undefined,
  ): Promise<{ entries: readonly ContainerEntry[]; lost: PodSandbox[] }> => {
    const all = await deps.index.sandboxes();
    const lost = lostSandboxes(deps, all);
    const known = deps.hooks.shown(all);
    const entries =
      filter === undefined ? known : known.filter((entry) => matches(deps.views, entry, filter));
    deps.sandboxes.claim(entries);
    if (filter === undefined) return { entries, lost };
    return { entries, lost: lost.filter((sandbox) => matchesPodSandbox(sandbox, filter)) };
  };
  return {
    listPodSandbox: async (request) => {
      const { entries, lost } = await list(request.filter);
      const listed = cache.list(entries);
      return new Encoded(lost.length === 0 ? listed : Buffer.concat([listed, encodeAll(lost)]));
    },
    streamPodSandboxes: async function* (request) {
      const { entries, lost } = await list(request.filter);
      for (const chunk of cache.chunks(entries)) yield new Encoded(chunk);
      if (lost.length > 0) yield new Encoded(encodeAll(lost));
    },
    podSandboxStatus: async (request) => {
      const id = request.podSandboxId;
      if (id === "") throw invalidArgument("pod sandbox id is empty");
      const found = await deps.index.find("podsandbox", id);
      if (found !== undefined && deps.hooks.isHidden(found)) throw notFound(`no pod sandbox ${id}`);
      if (found === undefined) {
        const record = deps.records.byIdPrefix(id);
        if (record?.id === undefined) throw notFound(`no pod sandbox ${id}`);
        return {
          status: lostStatus(record),
          timestamp: deps.clock.nowNs(),
          info: request.verbose ? lostInfo(record) : {},
        };
      }
      deps.sandboxes.claim([found]);
      const members = deps.hooks.shown(await deps.index.membersOf(found.id));
      await deps.drains.settle(members, 250);
      await deps.endedUsers.settle(members, 250);
      const answer = create(PodSandboxStatusResponseSchema, {
        timestamp: deps.clock.nowNs(),
        info: request.verbose ? verboseInfo(found, deps) : {},
      });
      // Fields may come in any order on the wire: the statuses were encoded before.
      return new Encoded(
        Buffer.concat([
          framed(statusField, await deps.views.encodedSandboxStatus(found)),
          toBinary(PodSandboxStatusResponseSchema, answer),
          joinList(
            statusesField,
            members.map((member) => deps.views.encodedStatus(member)),
          ),
        ]),
      );
    },
  };
}

function encodeAll(sandboxes: readonly PodSandbox[]): Uint8Array {
  return Buffer.concat(
    sandboxes.map((sandbox) => framed(itemsField, toBinary(PodSandboxSchema, sandbox))),
  );
}

function matches(views: Views, entry: ContainerEntry, filter: PodSandboxFilter): boolean {
  if (!isSandbox(entry)) return false;
  return matchesPodSandbox(
    { id: entry.id, state: views.podSandboxState(entry), labels: entry.identity.labels },
    filter,
  );
}

/**
 * Sandboxes whose pause container was removed behind our back while CNI DEL is owed: listed NOTREADY
 * from the record, so that the kubelet stops and removes them and the address is freed.
 */
function lostSandboxes(deps: SandboxReadDeps, entries: readonly ContainerEntry[]): PodSandbox[] {
  const known = new Set(entries.map((entry) => entry.id));
  return deps.records
    .all()
    .filter((record) => record.id !== undefined && !known.has(record.id))
    .flatMap((record) => {
      const status = lostStatus(record);
      return [
        create(PodSandboxSchema, {
          id: status.id,
          ...(status.metadata === undefined ? {} : { metadata: status.metadata }),
          state: PodSandboxState.SANDBOX_NOTREADY,
          createdAt: status.createdAt,
          labels: status.labels,
          annotations: status.annotations,
          runtimeHandler: status.runtimeHandler,
        }),
      ];
    });
}

function lostStatus(record: SandboxRecord): PodSandboxStatus {
  const config = fromBinary(PodSandboxConfigSchema, Buffer.from(record.config, "base64"));
  const parsed = parseName(record.name);
  const options = config.linux?.securityContext?.namespaceOptions;
  return create(PodSandboxStatusSchema, {
    id: record.id ?? "",
    ...(parsed?.kind === "podsandbox" ? { metadata: { ...parsed.metadata } } : {}),
    state: PodSandboxState.SANDBOX_NOTREADY,
    createdAt: BigInt(record.createdAtNs),
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: record.runtimeHandler,
    network: { ip: "" },
    ...(options === undefined ? {} : { linux: { namespaces: { options } } }),
  });
}

function verboseInfo(
  entry: ContainerEntry,
  { records, sandboxes }: Pick<SandboxReadDeps, "records" | "sandboxes">,
): Record<string, string> {
  const record = records.byId(entry.id);
  const asked = decodeSandboxSpec(entry.identity.extra.spec)?.linux;
  const updated = record?.updatedResources;
  const attached = record?.network as { netns?: string } | undefined;
  return {
    info: JSON.stringify({
      pid: entry.state.Pid,
      name: entry.name,
      legacy: entry.identity.legacy,
      phase: record?.phase ?? "unknown",
      netns: attached?.netns ?? record?.netns ?? entry.inspect?.NetworkSettings.SandboxKey ?? "",
      pauseRun: record?.pauseRun ?? null,
      network: record?.network ?? null,
      delFailure: record?.delFailure ?? sandboxes.delFailureOf(entry.name, entry.id) ?? null,
      runtime: entry.inspect?.HostConfig.Runtime ?? "",
      image: entry.image,
      overhead: shownResources(asked?.overhead, updated?.overhead),
      resources: shownResources(asked?.resources, updated?.resources),
    }),
  };
}

function lostInfo({
  name,
  phase,
  netns,
  network,
  delFailure,
}: SandboxRecord): Record<string, string> {
  const known = { name, phase, netns: netns ?? "", network: network ?? null };
  return { info: JSON.stringify({ ...known, delFailure: delFailure ?? null }) };
}

/** What was asked last: in an update, or when the pod was made. */
function shownResources(
  asked: LinuxContainerResources | undefined,
  updated: string | undefined,
): JsonValue {
  const schema = LinuxContainerResourcesSchema;
  const last = updated === undefined ? asked : fromBinary(schema, Buffer.from(updated, "base64"));
  return last === undefined ? null : toJson(schema, last);
}
