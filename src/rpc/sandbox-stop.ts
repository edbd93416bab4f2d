import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument } from "../errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { CniError } from "../network/cni-error.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { PodDeps } from "./deps.ts";
import { lookUpSandbox } from "./sandbox-lookup.ts";
import type { Sandbox } from "./sandbox-lookup.ts";
import {
  killContainer,
  killMembers,
  releaseForeignNetwork,
  releaseNetwork,
  removeContainer,
  removeMembers,
} from "./sandbox-teardown.ts";

/** StopPodSandbox and RemovePodSandbox. Both succeed for what is unknown or done already. */
export function sandboxStop(
  deps: PodDeps,
): Pick<Handlers<typeof RuntimeService>, "stopPodSandbox" | "removePodSandbox"> {
  const locked = async (
    podSandboxId: string,
    what: string,
    work: (found: Sandbox) => Promise<void>,
  ): Promise<void> => {
    if (podSandboxId === "") throw invalidArgument(`${what}: pod sandbox id is empty`);
    const known = await lookUpSandbox(deps, podSandboxId);
    if (known === undefined) return;
    // A CNI ADD of minutes is not waited for: it is ended, and DEL runs after it (F19).
    deps.setups.interrupt(known.name, new CriError("Cancelled", `${what} of the sandbox`));
    deps.setups.claim(known.name);
    await deps.locks.run(`sandbox:${known.name}`, async () => {
      const found = await lookUpSandbox(deps, podSandboxId);
      if (found !== undefined) await work(found);
    });
  };
  return {
    stopPodSandbox: async (request) => {
      await locked(request.podSandboxId, "stop", async (found) => {
        await stop(deps, found);
      });
      return {};
    },
    removePodSandbox: async (request) => {
      await locked(request.podSandboxId, "remove", (found) => removeSandbox(deps, found));
      return {};
    },
  };
}

/** Containers first, then the network, the pause container last: an address is never given away
 *  while something still answers on it (k8s#105225). */
async function stop(deps: PodDeps, sandbox: Sandbox): Promise<SandboxRecord | undefined> {
  const { id, entry } = sandbox;
  let { record } = sandbox;
  const running = entry?.state.Running === true;
  // True when an earlier DEL failed, or nobody can tell.
  const again = record === undefined || record.phase === "stopping";
  if (record !== undefined && record.phase !== "stopped" && record.phase !== "stopping") {
    record = { ...record, phase: "stopping" };
    await deps.records.saveIfPossible(record);
    deps.index.touchedRecord(id);
    failpoint("stop.after-record");
  }
  await killMembers(deps, await deps.index.membersOf(id));
  failpoint("stop.after-members");
  try {
    if (record !== undefined) record = await releaseNetwork(deps, record);
    else if (entry !== undefined) await releaseForeignNetwork(deps, entry);
  } catch (error) {
    // A plugin may fail for as long as the namespace is there (bridge, once somebody else flushed
    // its rules): the next DEL goes without it, which plugins must take. Nothing answers any more.
    if (again && running && error instanceof CniError) await killContainer(deps, id);
    throw error;
  }
  failpoint("stop.after-release");
  if (running) await killContainer(deps, id);
  failpoint("stop.after-kill");
  if (record !== undefined && record.phase !== "stopped") {
    record = { ...record, phase: "stopped" };
    await deps.records.saveIfPossible(record);
    deps.index.touchedRecord(id);
  }
  return record;
}

/** Stops what is not stopped, then removes containers, logs and the record. */
export async function removeSandbox(deps: PodDeps, sandbox: Sandbox): Promise<void> {
  const record = await stop(deps, sandbox);
  failpoint("remove.after-stop");
  await removeMembers(deps, await deps.index.membersOf(sandbox.id));
  failpoint("remove.after-members");
  if (sandbox.entry !== undefined) await removeContainer(deps, sandbox.id);
  failpoint("remove.after-pause");
  if (record !== undefined) await deps.records.delete(record);
  deps.index.touchedRecord(sandbox.id);
}
