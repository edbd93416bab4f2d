import { randomUUID } from "node:crypto";
import type { ProxiedRequest } from "../support/docker-proxy.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, hostSandboxConfig, sandboxConfig } from "../support/pods.ts";
import type { ContainerInit, SandboxInit } from "../support/pods.ts";
import { podCommand } from "./subjects.ts";

/** What one RPC cost the engine. */
export interface RequestCount {
  rpc: string;
  /** Requests that the RPC itself made, as "METHOD /route". */
  requests: string[];
  floor: number;
  /** Of the index, because of what the RPC changed. */
  byIndex: number;
  ok: boolean;
}

export interface IdleCount {
  containers: number;
  seconds: number;
  requests: Record<string, number>;
  perSecond: number;
  ok: boolean;
}

const idleLimitPerSecond = 0.5;
const indexReads = /^GET \/(containers\/(\{id\}\/)?json|images\/json)$/;
const newNames = (): string => randomUUID().slice(0, 8);

/**
 * Drives each RPC alone through the counting proxy. Inspects, lists and pings that belong to the
 * index are told apart by Dockline's own account of the call (the "docker" field of its log line).
 */
export class RequestCounter {
  readonly #node: TestNode;
  readonly counts: RequestCount[] = [];
  constructor(node: TestNode) {
    this.#node = node;
  }

  /** The pod's life and the reads, on the CNI network and on the host's. */
  async run(): Promise<{ sandboxId: string }> {
    // The engine gets the pause image with the first pod.
    const warm = { config: hostSandboxConfig(this.#node, this.#sandbox()) };
    const { podSandboxId } = await this.#node.runtime.runPodSandbox(warm);
    await this.#node.runtime.removePodSandbox({ podSandboxId });
    const first = await this.#life(sandboxConfig(this.#node, this.#sandbox()), " (CNI)", 3);
    // With a DNS config, as a kubelet sends it: the third request is an inspect, which says where to write it.
    const dnsConfig = { servers: ["192.0.2.53"] };
    const host = hostSandboxConfig(this.#node, { ...this.#sandbox(), dnsConfig });
    await this.#life(host, " (host network)", 3);
    return { sandboxId: first };
  }

  /** With a kubelet's two lists a second. */
  async idle(seconds: number): Promise<IdleCount> {
    const { proxy, runtime } = this.#node;
    const { containers } = await runtime.listContainers({});
    await this.#quiet();
    proxy.reset();
    for (let second = 0; second < seconds; second += 1) {
      await runtime.listPodSandbox({});
      await runtime.listContainers({});
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    const requests: Record<string, number> = {};
    for (const each of proxy.requests) requests[nameOf(each)] = (requests[nameOf(each)] ?? 0) + 1;
    const perSecond = proxy.requests.length / seconds;
    const ok = perSecond <= idleLimitPerSecond;
    return { containers: containers.length, seconds, requests, perSecond, ok };
  }

  #sandbox(): SandboxInit {
    return { metadata: { name: `count-${newNames()}`, namespace: "test", uid: randomUUID() } };
  }

  async #life(sandbox: SandboxInit, where: string, runFloor: number): Promise<string> {
    const { runtime, images } = this.#node;
    const config: ContainerInit = { ...containerConfig(""), command: podCommand, args: [] };
    const { podSandboxId } = await this.#count("RunPodSandbox", where, runFloor, () =>
      runtime.runPodSandbox({ config: sandbox }),
    );
    const { containerId } = await this.#count("CreateContainer", where, 1, () =>
      runtime.createContainer({ podSandboxId, config, sandboxConfig: sandbox }),
    );
    await this.#count("StartContainer", where, 1, () => runtime.startContainer({ containerId }));
    await this.#count("ExecSync", where, 2, () =>
      runtime.execSync({ containerId, cmd: ["true"], timeout: 10n }),
    );
    await this.#count("ContainerStatus", where, 0, () => runtime.containerStatus({ containerId }));
    await this.#count("PodSandboxStatus", where, 0, () =>
      runtime.podSandboxStatus({ podSandboxId }),
    );
    await this.#count("ListContainers", where, 0, () => runtime.listContainers({}));
    await this.#count("ListPodSandbox", where, 0, () => runtime.listPodSandbox({}));
    await this.#count("ListContainerStats", where, 0, () => runtime.listContainerStats({}));
    await this.#count("ListPodSandboxStats", where, 0, () => runtime.listPodSandboxStats({}));
    await this.#count("Status", where, 0, () => runtime.status({}));
    await this.#count("Version", where, 0, () => runtime.version({}));
    await this.#count("ListImages", where, 0, () => images.listImages({}));
    await this.#count("ImageStatus", where, 0, () => images.imageStatus({ image: config.image! }));
    await this.#count("ImageFsInfo", where, 0, () => images.imageFsInfo({}));
    await this.#count("StopContainer", where, 1, () =>
      runtime.stopContainer({ containerId, timeout: 10n }),
    );
    await this.#count("RemoveContainer", where, 1, () => runtime.removeContainer({ containerId }));
    await runtime.createContainer({ podSandboxId, config, sandboxConfig: sandbox });
    const second = await runtime.listContainers({ filter: { podSandboxId } });
    await runtime.startContainer({ containerId: second.containers[0]?.id ?? "" });
    // n + 1, with one running member.
    await this.#count("StopPodSandbox", where, 2, () => runtime.stopPodSandbox({ podSandboxId }));
    await this.#count("RemovePodSandbox", where, 2, () =>
      runtime.removePodSandbox({ podSandboxId }),
    );
    return podSandboxId;
  }

  async #count<T>(rpc: string, where: string, floor: number, call: () => Promise<T>): Promise<T> {
    const { proxy } = this.#node;
    await this.#quiet();
    proxy.reset();
    const logged = this.#node.log().length;
    const answer = await call();
    await this.#quiet();
    const own = await this.#ownRequests(rpc, logged);
    const seen = proxy.requests.filter(({ route }) => route !== "/_ping").map(nameOf);
    // The index asks by inspects and lists only; any other request is the RPC's.
    const reads = seen.filter((name) => indexReads.test(name));
    const others = seen.filter((name) => !indexReads.test(name));
    const requests = [...others, ...reads.slice(0, Math.max(0, own - others.length))];
    const ok = own === floor && requests.length === own;
    this.counts.push({ rpc: rpc + where, requests, floor, byIndex: seen.length - own, ok });
    return answer;
  }

  async #ownRequests(rpc: string, from: number): Promise<number> {
    for (let left = 100; left > 0; left -= 1) {
      for (const line of this.#node.log().slice(from).split("\n")) {
        if (!line.includes(`"rpc":"${rpc}"`) || !line.includes('"docker":')) continue;
        return (JSON.parse(line) as { docker: number }).docker;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`Dockline logged no call of ${rpc}`);
  }

  /** No request for a while, those of the clock's own aside. */
  async #quiet(): Promise<void> {
    const { proxy } = this.#node;
    for (let seen = -1; seen !== proxy.requests.length;) {
      seen = proxy.requests.length;
      await new Promise((resolve) => setTimeout(resolve, 450));
    }
  }
}

function nameOf({ method, route }: ProxiedRequest): string {
  return `${method} ${route}`;
}
