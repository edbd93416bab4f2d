import { toBinary } from "@bufbuild/protobuf";
import { configHash } from "../convert/config-hash.ts";
import { sandboxName } from "../convert/names.ts";
import type { CallContext, Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { NamespaceMode, PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type { PodSandboxConfig, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { podBandwidth } from "../network/bandwidth.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import type { SetUpRequest } from "../network/network.ts";
import { renderResolvConf, rewriteResolvConf } from "../network/resolv-conf.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { Rollback } from "../sys/rollback.ts";
import type { PodDeps } from "./deps.ts";
import { createPauseContainer } from "./sandbox-create.ts";
import { toPortMappings } from "./port-mappings.ts";
import { clearSandbox } from "./sandbox-teardown.ts";

/** A finished sandbox that nobody asked for again is taken down after this. */
const abandonedMs = 120_000;

/** RunPodSandbox. */
export function sandboxRun(deps: PodDeps): Pick<Handlers<typeof RuntimeService>, "runPodSandbox"> {
  return {
    runPodSandbox: async (request, context) => {
      const config = request.config;
      if (config?.metadata === undefined) throw invalidArgument("config.metadata is missing");
      const name = sandboxName(config.metadata);
      const podSandboxId = await deps.locks.run(`sandbox:${name}`, () =>
        runOrReuse(deps, { name, config, runtimeHandler: request.runtimeHandler }, context),
      );
      if (context.signal.aborted) {
        // The kubelet gave up waiting but will ask again: its retry gets this sandbox.
        deps.setups.abandon(name, abandonedMs, () => {
          discardAbandoned(deps, name, podSandboxId);
        });
      }
      return { podSandboxId };
    },
  };
}

interface Wanted {
  name: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
}

async function runOrReuse(deps: PodDeps, wanted: Wanted, context: CallContext): Promise<string> {
  deps.setups.claim(wanted.name);
  const hash = configHash(PodSandboxConfigSchema, wanted.config, wanted.runtimeHandler);
  const record = deps.records.byName(wanted.name);
  if (record !== undefined) {
    const reused = await finishedBefore(deps, record, hash);
    if (reused !== undefined) return reused;
    // Half-made by a call that failed or a process that was killed, or dead since.
    await clearSandbox(deps, record);
  }
  return await run(deps, wanted, hash, context);
}

/** The id when an earlier call with this very configuration made it and it runs. */
async function finishedBefore(
  deps: PodDeps,
  record: SandboxRecord,
  hash: string,
): Promise<string | undefined> {
  if (record.phase !== "ready" || record.id === undefined) return undefined;
  const found = await deps.index.find("podsandbox", record.id);
  if (found?.state.Running !== true) return undefined;
  if (record.configHash === hash) return record.id;
  throw new CriError(
    "AlreadyExists",
    `sandbox ${record.name} runs with another configuration as ${record.id}`,
  );
}

async function run(
  deps: PodDeps,
  wanted: Wanted,
  hash: string,
  context: CallContext,
): Promise<string> {
  const { name, config } = wanted;
  const facts = await deps.facts();
  const hostNetwork =
    config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
  // All that can be refused is refused before anything exists.
  const network = hostNetwork ? undefined : networkRequest(config);
  const resolvConf =
    config.dnsConfig === undefined ? undefined : renderResolvConf(config.dnsConfig);
  if (!hostNetwork) {
    const status = await deps.network.status();
    if (!status.ready) throw new CriError("Unavailable", `network: ${status.message}`);
  }
  context.signal.throwIfAborted();

  const setup = deps.setups.begin(name);
  const rollback = new Rollback();
  let record: SandboxRecord = {
    name,
    phase: "creating",
    configHash: hash,
    hostNetwork,
    config: Buffer.from(toBinary(PodSandboxConfigSchema, config)).toString("base64"),
    runtimeHandler: wanted.runtimeHandler,
    createdAtNs: String(deps.clock.nowNs()),
    ips: [],
  };
  const save = async (change: Partial<SandboxRecord>): Promise<void> => {
    record = { ...record, ...change };
    await deps.records.save(record);
    if (record.id !== undefined) deps.index.touchedRecord(record.id);
  };
  try {
    rollback.push("clear the sandbox", () => clearSandbox(deps, record));
    await save({});
    const id = await createPauseContainer(deps, wanted, facts, hash, setup.signal);
    await save({ id, phase: "created" });
    setup.signal.throwIfAborted();
    await deps.engine.startContainer(id);
    deps.index.touched(id);
    if (!hostNetwork || resolvConf !== undefined) {
      const inspect = await inspectStarted(deps, id);
      if (resolvConf !== undefined) {
        await rewriteResolvConf(inspect.ResolvConfPath, resolvConf, facts.dockerRootDir);
      }
      if (network !== undefined) {
        const netns = inspect.NetworkSettings.SandboxKey ?? "";
        if (netns === "") {
          throw new CriError("Internal", `sandbox ${id}: the engine names no network namespace`);
        }
        await save({ netns });
        const attachment = await deps.network.setUp({
          ...network,
          containerId: id,
          netns,
          signal: setup.signal,
          beforeAdd: (planned: NetworkAttachment) =>
            save({ phase: "networking", network: planned }),
        });
        await save({ phase: "ready", network: attachment, ips: attachment.ips });
      }
    }
    if (record.phase !== "ready") await save({ phase: "ready" });
    rollback.commit();
    return id;
  } catch (error) {
    context.log.warn({ sandbox: name, error: errorText(error) }, "undoing a sandbox");
    await rollback.undo(context.log);
    throw error;
  } finally {
    deps.setups.end(name, setup);
  }
}

async function inspectStarted(deps: PodDeps, id: string): Promise<ContainerInspect> {
  const mark = deps.index.mark();
  const inspect = await deps.engine.inspectContainer(id);
  deps.index.observed(inspect, mark);
  if (!inspect.State.Running) {
    throw new CriError(
      "Internal",
      `sandbox ${id}: the pause container ended at once with code ${inspect.State.ExitCode} ${inspect.State.Error}`,
    );
  }
  return inspect;
}

/** The part of the CNI request that the configuration alone decides. */
function networkRequest(
  config: PodSandboxConfig,
): Omit<SetUpRequest, "containerId" | "netns" | "signal" | "beforeAdd"> {
  const bandwidth = podBandwidth(config.annotations);
  return {
    podName: config.metadata?.name ?? "",
    podNamespace: config.metadata?.namespace ?? "",
    podUid: config.metadata?.uid ?? "",
    portMappings: toPortMappings(config.portMappings),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(config.dnsConfig === undefined
      ? {}
      : {
          dns: {
            servers: config.dnsConfig.servers,
            searches: config.dnsConfig.searches,
            options: config.dnsConfig.options,
          },
        }),
  };
}

function discardAbandoned(deps: PodDeps, name: string, podSandboxId: string): void {
  deps.log.info({ podSandboxId }, "nobody asked again for a sandbox: removing it");
  deps.locks
    .run(`sandbox:${name}`, async () => {
      const record = deps.records.byName(name);
      if (record?.id === podSandboxId) await clearSandbox(deps, record);
    })
    .catch((err: unknown) => {
      deps.log.warn({ err, podSandboxId }, "removing an abandoned sandbox failed");
    });
}
