import type { SandboxId } from "../convert/names.ts";
import { interfaceSysctls, networkSysctls } from "../convert/sysctls.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { CriError } from "../errors.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import { writeNetnsSysctls } from "../network/netns-sysctls.ts";
import { bothOrThrow } from "../sys/both.ts";
import { failpoint } from "../sys/failpoint.ts";
import { becomeReady } from "./become-ready.ts";
import { attachNetwork, dockersPlace, ownPlace, runInside } from "./attach-network.ts";
import type { NetworkRequest, PodPlace } from "./attach-network.ts";
import type { RecordedSandbox } from "./recorded.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

/** A namespace that was made for a pod. */
export interface OwnPodNetns {
  path: string;
  /** It shows what the engine does to IPv6; see OwnNetns.learn. */
  isMarked: boolean;
}

/** A pod that is to come onto the network, its pause container made and not started. */
export interface NetworkWish {
  request: NetworkRequest & { containerId: string; signal: AbortSignal };
  /** As asked, of the whole pod. */
  sysctls: Readonly<Record<string, string>>;
  /** Undefined when Docker makes the namespace. */
  own: OwnPodNetns | undefined;
  /** Starts the pause container in the namespace at the path, or in one of Docker's. */
  start: (netns: string | undefined) => Promise<ContainerInspect | undefined>;
}

type Attached = { attachment: NetworkAttachment; place: PodPlace; inspect: ContainerInspect };

/** Undefined when none was planned, and when it cannot be made: then Docker makes one, as without dockline-oci. */
export async function makeNetns(
  { ownNetns }: Pick<SandboxDeps, "ownNetns">,
  path: string | undefined,
  sysctls: Readonly<Record<string, string>> | undefined,
): Promise<OwnPodNetns | undefined> {
  if (path === undefined) return undefined;
  try {
    const isMarked = await ownNetns.make(path, sysctls);
    failpoint("run.after-netns");
    return { path, isMarked };
  } catch (error) {
    ownNetns.giveUp(error);
    await ownNetns.remove(path);
    return undefined;
  }
}

/**
 * Starts the pause container and runs CNI ADD, in the order that fits, then brings the sandbox to `ready`.
 *
 * | Whose namespace | Order |
 * |---|---|
 * | Docker's | start, ADD |
 * | Dockline's, and the engine switches IPv6 off in it, or nobody knows yet | start, ADD |
 * | Dockline's, and pod or chain set sysctls of the network | ADD, start |
 * | Dockline's | both at once |
 *
 * The pod's sysctls win over those of the plugin `tuning` in each order, as with containerd.
 * Whatever fails, the other side has ended when this throws, and the record knows what ADD has done.
 */
export async function bringOntoNetwork(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  wish: NetworkWish,
): Promise<void> {
  const { request, own, sysctls } = wish;
  const isEarly = own !== undefined && !own.isMarked && deps.ownNetns.ipv6IsKept === true;
  const { attachment, place, inspect } = isEarly
    ? await attachEarly(deps, sandbox, wish, own.path)
    : await attachStarted(deps, sandbox, wish);
  failpoint("run.after-add");
  const attached = { network: attachment, ips: attachment.ips };
  try {
    const run =
      own === undefined || place.path !== own.path
        ? undefined
        : await runInside(request.containerId, inspect, own.path);
    // A plugin that has run after the start may have set what the pod asked for to something else.
    const owed = isEarly ? [] : networkSysctls(sysctls);
    const isTuned = owed.length > 0 && attachment.plugins.some(({ type }) => type === "tuning");
    await writeNetnsSysctls(
      { netns: place.path, isOurs: place.isOurs },
      [...(isTuned ? owed : []), ...interfaceSysctls(sysctls)],
      request.signal,
    );
    const known = { ...attached, ...(run === undefined ? {} : { pauseRun: run }) };
    // With that DEL has all it needs, whatever becomes of those who are asked now.
    if (deps.hooks.active) await sandbox.enter("networking", known);
    const pod = { id: request.containerId as SandboxId, name: sandbox.name, ips: attachment.ips };
    await becomeReady(deps, pod, request.signal, async () => {
      await sandbox.enter("ready", known);
    });
  } catch (error) {
    // A full disk, or a sysctl that is none: DEL needs the result all the same, and memory holds it.
    await sandbox.enterAnyway("networking", attached);
    throw error;
  }
}

async function attachStarted(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  { request, own, start }: NetworkWish,
): Promise<Attached> {
  let netns = own?.path;
  let inspect: ContainerInspect | undefined;
  try {
    inspect = started(await start(netns));
  } catch (error) {
    if (netns === undefined || !deps.ownNetns.isNotVisible(error)) throw error;
    deps.ownNetns.giveUp(error);
    await deps.ownNetns.remove(netns);
    await sandbox.enter("created", { ownNetns: undefined });
    netns = undefined;
    inspect = started(await start(undefined));
  }
  if (own?.isMarked === true && netns !== undefined) await deps.ownNetns.learn(netns);
  const place =
    netns === undefined ? await dockersPlace(request.containerId, inspect) : ownPlace(netns);
  const attachment = await attachNetwork(deps, sandbox, request, place);
  return { attachment, place, inspect };
}

async function attachEarly(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  { request, sysctls, start }: NetworkWish,
  netns: string,
): Promise<Attached> {
  const place = ownPlace(netns);
  const isFirst =
    networkSysctls(sysctls).length > 0 ||
    (await deps.network.source()).plugins?.includes("tuning") === true;
  const startFailed = new AbortController();
  const signal = AbortSignal.any([request.signal, startFailed.signal]);
  const adding = attachNetwork(deps, sandbox, { ...request, signal }, place);
  const starting = (isFirst ? adding.then(() => start(netns)) : start(netns)).catch(
    (error: unknown) => {
      if (deps.ownNetns.isNotVisible(error)) deps.ownNetns.giveUp(error);
      startFailed.abort(error);
      throw error;
    },
  );
  try {
    // The start first: when it fails, what the aborted ADD says is not the cause.
    const [inspect, attachment] = await bothOrThrow(starting, adding);
    return { attachment, place, inspect: started(inspect) };
  } catch (error) {
    const attachment = await adding.catch(() => undefined);
    if (attachment !== undefined) {
      await sandbox.enterAnyway("networking", { network: attachment, ips: attachment.ips });
    }
    throw error;
  }
}

function started(inspect: ContainerInspect | undefined): ContainerInspect {
  if (inspect === undefined)
    throw new CriError("Internal", "the pause container was not inspected");
  return inspect;
}
