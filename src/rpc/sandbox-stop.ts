import { existsSync } from "node:fs";
import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument } from "../errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import type { PodDeps } from "./deps.ts";
import { killContainer, killMembers, releaseNetwork, removeContainer } from "./sandbox-teardown.ts";

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
    const known = await lookUp(deps, podSandboxId);
    if (known === undefined) return;
    // A CNI ADD of minutes is not waited for: it is ended, and DEL runs after it (F19).
    deps.setups.interrupt(known.name, new CriError("Cancelled", `${what} of the sandbox`));
    deps.setups.claim(known.name);
    await deps.locks.run(`sandbox:${known.name}`, async () => {
      const found = await lookUp(deps, podSandboxId);
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
      await locked(request.podSandboxId, "remove", (found) => remove(deps, found));
      return {};
    },
  };
}

/** A sandbox as Docker, our record, or both know it. */
interface Sandbox {
  id: string;
  name: string;
  entry: ContainerEntry | undefined;
  record: SandboxRecord | undefined;
}

async function lookUp(deps: PodDeps, podSandboxId: string): Promise<Sandbox | undefined> {
  const entry = await deps.index.find("podsandbox", podSandboxId);
  const record =
    entry === undefined
      ? deps.records.all().find((candidate) => candidate.id?.startsWith(podSandboxId))
      : deps.records.byId(entry.id);
  const id = entry?.id ?? record?.id;
  if (id === undefined) return undefined;
  return { id, name: entry?.name ?? record?.name ?? id, entry, record };
}

/** Containers first, then the network, the pause container last: an address is never given away
 *  while something still answers on it (k8s#105225). */
async function stop(deps: PodDeps, sandbox: Sandbox): Promise<SandboxRecord | undefined> {
  const { id, entry } = sandbox;
  let { record } = sandbox;
  const running = entry?.state.Running === true;
  if (record !== undefined && record.phase !== "stopped" && record.phase !== "stopping") {
    record = { ...record, phase: "stopping" };
    await deps.records.save(record);
    deps.index.touchedRecord(id);
  }
  await killMembers(deps, await deps.index.membersOf(id));
  if (record !== undefined) record = await releaseNetwork(deps, record);
  else if (entry !== undefined) await releaseLegacyNetwork(deps, entry);
  if (running) await killContainer(deps, id);
  if (record !== undefined && record.phase !== "stopped") {
    record = { ...record, phase: "stopped" };
    await deps.records.save(record);
    deps.index.touchedRecord(id);
  }
  return record;
}

/** A pod that cri-dockerd or dockershim made: its CNI result is in the CNI library's own cache. */
async function releaseLegacyNetwork(deps: PodDeps, entry: ContainerEntry): Promise<void> {
  const inspect = entry.inspect;
  if (inspect === undefined || inspect.HostConfig.NetworkMode !== "none") return;
  if (entry.identity.kind !== "podsandbox") return;
  const { metadata } = entry.identity;
  const netns = entry.state.Running ? (inspect.NetworkSettings.SandboxKey ?? "") : "";
  await deps.network.tearDownLegacy({
    containerId: entry.id,
    netns: existsSync(netns) ? netns : "",
    podName: metadata.name,
    podNamespace: metadata.namespace,
    portMappings: Object.entries(inspect.HostConfig.PortBindings ?? {}).flatMap(
      ([port, bindings]) => {
        const [containerPort, protocol] = port.split("/");
        return (bindings ?? []).map((binding) => ({
          hostPort: Number(binding.HostPort ?? 0),
          containerPort: Number(containerPort),
          protocol: protocol === "udp" || protocol === "sctp" ? protocol : ("tcp" as const),
          hostIp: binding.HostIp ?? "",
        }));
      },
    ),
  });
}

async function remove(deps: PodDeps, sandbox: Sandbox): Promise<void> {
  const record = await stop(deps, sandbox);
  const members = await deps.index.membersOf(sandbox.id);
  await Promise.all(
    members.map((member) =>
      deps.locks.run(`container:${member.name}`, async () => {
        await removeContainer(deps, member.id);
        await deps.logs.remove(member.id);
      }),
    ),
  );
  if (sandbox.entry !== undefined) await removeContainer(deps, sandbox.id);
  if (record !== undefined) await deps.records.delete(record);
  deps.index.touchedRecord(sandbox.id);
}
