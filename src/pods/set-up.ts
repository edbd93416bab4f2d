import { toBinary } from "@bufbuild/protobuf";
import { isHostNetwork } from "../convert/namespaces.ts";
import { mappingWarning } from "../convert/user-namespace.ts";
import type { SandboxId } from "../convert/names.ts";
import { CriError, errorText } from "../errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type { PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { podBandwidth } from "../network/bandwidth.ts";
import { hasResolvConf, podResolvConf, rewriteResolvConf } from "../network/resolv-conf.ts";
import { failpoint } from "../sys/failpoint.ts";
import { bothOrThrow } from "../sys/both.ts";
import type { NetworkRequest } from "./attach-network.ts";
import { becomeReady } from "./become-ready.ts";
import { bringOntoNetwork, makeNetns } from "./network-ways.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { repeatIfLost } from "./lost-answer.ts";
import { toPortMappings } from "./port-mappings.ts";
import {
  createPauseContainer,
  planPauseContainer,
  startPauseContainer,
} from "./pause-container.ts";
import type { WantedSandbox } from "./pause-container.ts";
import type { Caller, RecordedSandbox } from "./recorded.ts";

/** Who asks for a set-up, and what ends it. */
export interface SetUpCall extends Caller {
  /** Aborted by a Stop or Remove of the sandbox. */
  interrupted: AbortSignal;
  /** Called when all that can be refused was not: from here on there is something to interrupt. */
  begin(): void;
  /** Takes down what was made. */
  undo(): Promise<void>;
}

/**
 * The way up: creating → networking → ready. Each phase is on disk before the effect that it announces.
 * Whatever fails is undone; what cannot be undone stays recorded and NOTREADY, for Stop and Remove.
 *
 * @throws CriError InvalidArgument or Unimplemented for what is refused, before anything exists
 */
export async function setUp(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  wanted: WantedSandbox,
  call: SetUpCall,
): Promise<SandboxId> {
  const { name, config } = wanted;
  const facts = await deps.facts();
  const hostNetwork = isHostNetwork(config.linux?.securityContext?.namespaceOptions);
  // All that can be refused is refused before anything exists.
  const plan = await planPauseContainer(deps, wanted, facts, deps.ownNetns.plan(wanted, facts));
  const network = hostNetwork
    ? undefined
    : networkRequest(config, (why) => {
        call.log.warn({ sandbox: name, why }, "a port mapping is left out");
      });
  const resolvConf = await podResolvConf(config.dnsConfig);
  if (!hostNetwork) {
    const status = await deps.network.status();
    if (!status.ready) throw new CriError("Unavailable", `network: ${status.message}`);
  }
  call.signal.throwIfAborted();
  const warning = mappingWarning(plan.podIds);
  if (warning !== "") call.log.warn({ sandbox: name }, warning);

  call.begin();
  deps.hooks.hide(name);
  try {
    await sandbox.begin({
      name,
      phase: "creating",
      configHash: wanted.hash,
      hostNetwork,
      config: Buffer.from(toBinary(PodSandboxConfigSchema, config)).toString("base64"),
      runtimeHandler: wanted.runtimeHandler,
      createdAtNs: String(deps.clock.nowNs()),
      ips: [],
      ...(plan.ownNetns === undefined ? {} : { ownNetns: plan.ownNetns }),
    });
    failpoint("run.after-record");
    const [id, own] = await bothOrThrow(
      createPauseContainer(deps, plan, call.interrupted),
      makeNetns(deps, plan.ownNetns, config.linux?.sysctls),
    );
    await sandbox.enter("created", { id, ...(own === undefined ? { ownNetns: undefined } : {}) });
    failpoint("run.after-id");
    call.interrupted.throwIfAborted();
    const start = async (netns: string | undefined): Promise<ContainerInspect | undefined> => {
      await startPauseContainer(deps, id, plan, netns);
      failpoint("run.after-start");
      const isComplete = hostNetwork && (await hasResolvConf(facts.dockerRootDir, id, resolvConf));
      const inspect = isComplete ? undefined : await inspectStarted(deps, id);
      if (inspect !== undefined) {
        deps.users.learn(inspect.State.Pid, id);
        await rewriteResolvConf(inspect.ResolvConfPath, resolvConf, facts.dockerRootDir);
      }
      failpoint("run.after-resolv-conf");
      return inspect;
    };
    if (network === undefined) {
      await start(undefined);
      await becomeReady(deps, { id, name, ips: [] }, call.interrupted, async () => {
        await sandbox.enter("ready", {});
      });
    } else {
      const request = { ...network, containerId: id, signal: call.interrupted };
      const wish = { request, sysctls: config.linux?.sysctls ?? {}, start, own };
      await bringOntoNetwork(deps, sandbox, wish);
    }
    failpoint("run.after-ready");
    return id;
  } catch (error) {
    call.log.warn({ sandbox: name, error: errorText(error) }, "undoing a sandbox");
    try {
      await call.undo();
    } catch (err) {
      call.log.warn({ err, sandbox: name }, "a sandbox could not be undone");
    }
    throw error;
  } finally {
    deps.hooks.reveal(name);
  }
}

async function inspectStarted(deps: SandboxDeps, id: string): Promise<ContainerInspect> {
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
function networkRequest(config: PodSandboxConfig, skipped: (why: string) => void): NetworkRequest {
  const bandwidth = podBandwidth(config.annotations);
  return {
    podName: config.metadata?.name ?? "",
    podNamespace: config.metadata?.namespace ?? "",
    podUid: config.metadata?.uid ?? "",
    portMappings: toPortMappings(config.portMappings, skipped),
    cgroupPath: config.linux?.cgroupParent ?? "",
    annotations: config.annotations,
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
