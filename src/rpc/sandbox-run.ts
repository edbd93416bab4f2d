import { toBinary } from "@bufbuild/protobuf";
import { configHash } from "../convert/config-hash.ts";
import { sandboxName } from "../convert/names.ts";
import type { CallContext, Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import { EngineError, isUncertain } from "../engine/errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { NamespaceMode, PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type { PodSandboxConfig, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { podBandwidth } from "../network/bandwidth.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import type { SetUpRequest } from "../network/network.ts";
import { addressesOfProcess } from "../network/netns-addresses.ts";
import { renderResolvConf, rewriteResolvConf } from "../network/resolv-conf.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { failpoint } from "../sys/failpoint.ts";
import { inContainer } from "../sys/process-tree.ts";
import { Rollback } from "../sys/rollback.ts";
import type { PodDeps } from "./deps.ts";
import { repeatIfLost } from "./lost-answer.ts";
import { toPortMappings } from "./port-mappings.ts";
import { createPauseContainer, planPauseContainer, startPauseContainer } from "./sandbox-create.ts";
import type { WantedSandbox } from "./sandbox-create.ts";
import { removeSandbox } from "./sandbox-stop.ts";
import { clearSandbox } from "./sandbox-teardown.ts";

/** RunPodSandbox. */
export function sandboxRun(deps: PodDeps): Pick<Handlers<typeof RuntimeService>, "runPodSandbox"> {
  return {
    runPodSandbox: async (request, context) => {
      const { config, runtimeHandler } = request;
      if (config?.metadata === undefined) throw invalidArgument("config.metadata is missing");
      const name = sandboxName(config.metadata);
      const hash = configHash(PodSandboxConfigSchema, config, runtimeHandler);
      const wanted = { name, config, runtimeHandler, hash };
      return await deps.locks.run(`sandbox:${name}`, async () => {
        const abandoned = deps.setups.claim(name);
        const { podSandboxId, reused } = await runOrReuse(deps, wanted, context);
        if (context.signal.aborted && (abandoned || !reused)) {
          // The kubelet gave up waiting but will ask again: its retry gets this sandbox.
          deps.setups.abandon(name, () => discardAbandoned(deps, name));
        }
        return { podSandboxId };
      });
    },
  };
}

async function runOrReuse(
  deps: PodDeps,
  wanted: WantedSandbox,
  context: CallContext,
): Promise<{ podSandboxId: string; reused: boolean }> {
  const { name, hash } = wanted;
  const record = deps.records.byName(name);
  const entry =
    record?.id === undefined
      ? await deps.index.byName(name)
      : await deps.index.find("podsandbox", record.id);
  if (entry !== undefined && (record === undefined || record.phase === "ready")) {
    const reused = await runsAlready(deps, entry, record, hash);
    if (reused !== undefined) return { podSandboxId: reused, reused: true };
  }
  // Half-made by a call that failed or a process that was killed, dead since, or a left-over.
  if (record !== undefined) await clearSandbox(deps, record);
  else if (entry?.kind === "podsandbox") await clearLeftOver(deps, name, entry);
  return { podSandboxId: await run(deps, wanted, context), reused: false };
}

/** Of a sandbox without a record: one that the engine cannot remove now keeps its name, and no more. */
async function clearLeftOver(deps: PodDeps, name: string, entry: ContainerEntry): Promise<void> {
  try {
    await removeSandbox(deps, { id: entry.id, name, entry, record: undefined });
  } catch (error) {
    if (!(error instanceof EngineError) || isUncertain(error)) throw error;
    deps.log.warn({ name, error: errorText(error) }, "a left-over cannot be removed now");
  }
}

/** The id when an earlier call with this very configuration made it and it runs. */
async function runsAlready(
  deps: PodDeps,
  entry: ContainerEntry,
  record: SandboxRecord | undefined,
  hash: string,
): Promise<string | undefined> {
  const now = await deps.index.find("podsandbox", entry.id);
  if (now?.state.Running !== true) return undefined;
  if ((record?.configHash ?? now.identity.extra.hash) === hash) {
    if (record !== undefined || (await isAttached(now))) return now.id;
    return undefined;
  }
  throw new CriError(
    "AlreadyExists",
    `sandbox ${now.name} runs with another configuration as ${now.id}`,
  );
}

/** Of a sandbox whose record is lost: whether it ever got its network. */
async function isAttached({ inspect, id, state }: ContainerEntry): Promise<boolean> {
  if (inspect?.HostConfig.NetworkMode === "host") return true;
  return inContainer(state.Pid, id) && (await addressesOfProcess(state.Pid)).length > 0;
}

async function run(deps: PodDeps, wanted: WantedSandbox, context: CallContext): Promise<string> {
  const { name, config } = wanted;
  const facts = await deps.facts();
  const hostNetwork =
    config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
  // All that can be refused is refused before anything exists.
  const plan = await planPauseContainer(deps, wanted, facts);
  const network = hostNetwork ? undefined : networkRequest(config);
  // No DNS at all leaves Docker's own file.
  const resolvConf = config.dnsConfig === undefined ? "" : renderResolvConf(config.dnsConfig);
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
    configHash: wanted.hash,
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
    failpoint("run.after-record");
    const id = await createPauseContainer(deps, plan, setup.signal);
    await save({ id, phase: "created" });
    failpoint("run.after-id");
    setup.signal.throwIfAborted();
    await startPauseContainer(deps, id, plan);
    failpoint("run.after-start");
    if (!hostNetwork || resolvConf !== "") {
      const inspect = await inspectStarted(deps, id);
      if (resolvConf !== "") {
        await rewriteResolvConf(inspect.ResolvConfPath, resolvConf, facts.dockerRootDir);
      }
      failpoint("run.after-resolv-conf");
      if (network !== undefined) {
        const netns = inspect.NetworkSettings.SandboxKey ?? "";
        if (netns === "") {
          throw new CriError("Internal", `sandbox ${id}: the engine names no network namespace`);
        }
        const attachment = await deps.network.setUp({
          ...network,
          containerId: id,
          netns,
          signal: setup.signal,
          beforeAdd: async (planned: NetworkAttachment) => {
            await save({ phase: "networking", netns, network: planned });
            failpoint("run.before-add");
          },
        });
        failpoint("run.after-add");
        await save({ phase: "ready", network: attachment, ips: attachment.ips });
      }
    }
    if (record.phase !== "ready") await save({ phase: "ready" });
    failpoint("run.after-ready");
    rollback.commit();
    return id;
  } catch (error) {
    context.log.warn({ sandbox: name, error: errorText(error) }, "undoing a sandbox");
    await rollback.undo(context.log);
    // What an interrupted plugin or request says of its end is not the cause.
    throw setup.signal.aborted ? (setup.signal.reason as Error) : error;
  } finally {
    deps.setups.end(name, setup);
  }
}

async function inspectStarted(deps: PodDeps, id: string): Promise<ContainerInspect> {
  const mark = deps.index.mark();
  const inspect = await repeatIfLost(deps.clock, () => deps.engine.inspectContainer(id));
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

function discardAbandoned(deps: PodDeps, name: string): void {
  deps.locks
    .run(`sandbox:${name}`, async () => {
      const record = deps.records.byName(name);
      if (!deps.setups.claim(name) || record === undefined) return;
      deps.log.info({ podSandboxId: record.id }, "nobody asked again for a sandbox: removing it");
      await clearSandbox(deps, record);
    })
    .catch((err: unknown) => {
      deps.log.warn({ err, sandbox: name }, "removing an abandoned sandbox failed");
    });
}
