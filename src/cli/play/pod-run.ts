import { PodSandboxState } from "../../gen/runtime/v1/api_pb.js";
import { isNotFound, isUnavailable } from "../../cri/call-error.ts";
import { addressesOf } from "./addresses.ts";
import { ContainerRun } from "./container-run.ts";
import { findPod, sandboxesOf } from "./found-pod.ts";
import type { FoundContainers } from "./found-pod.ts";
import type { PlannedContainer, PlannedPod } from "./plan.ts";
import type { PlayServices, PodOnNode } from "./services.ts";
import { takeDown } from "./take-down.ts";

export interface RunOptions {
  /** Return when the pod is ready, and leave it. */
  detach: boolean;
  /** End what runs from another manifest. */
  replace: boolean;
  /** Name the pod before each container's name. */
  isOneOfSeveral: boolean;
}

/** One pod of a manifest, from its sandbox to its last container's exit code. */
export class PodRun {
  readonly #services: PlayServices;
  readonly #plan: PlannedPod;
  readonly #options: RunOptions;
  #runs: ContainerRun[] = [];
  /** Of each container that was begun: never rejects, so that one is looked at in its time. */
  readonly #ends = new Map<ContainerRun, Promise<void>>();
  #failure: { error: unknown } | undefined;
  #tell = (): void => undefined;

  constructor(services: PlayServices, plan: PlannedPod, options: RunOptions) {
    this.#services = services;
    this.#plan = plan;
    this.#options = options;
  }

  get #name(): string {
    return `${this.#plan.namespace}/${this.#plan.name}`;
  }

  /**
   * Makes the pod, or goes on with the one that is there. The exit code of the first container, in
   * the manifest's order, that failed; 0 if none did, or when the signal aborts.
   */
  async run(signal: AbortSignal): Promise<number> {
    const { pod, found } = await this.#ensurePod();
    const own = new AbortController();
    const until = AbortSignal.any([signal, own.signal]);
    until.addEventListener("abort", () => this.#tell());
    const wanted = { isWanted: () => this.#isWanted(pod), onChange: () => this.#tell() };
    this.#runs = this.#plan.containers.map(
      (container) =>
        new ContainerRun(this.#services, pod, container, {
          ...wanted,
          existing: found.get(container.name),
        }),
    );
    try {
      return await this.#bringUp(found, until);
    } catch (error) {
      this.#services.say(`pod ${this.#name} is left for a look; --down removes it`);
      throw error;
    } finally {
      own.abort();
      await Promise.all(this.#ends.values());
    }
  }

  async #bringUp(found: FoundContainers, signal: AbortSignal): Promise<number> {
    const hasMain = this.#plan.containers.some(
      ({ role, name }) => role === "main" && found.has(name),
    );
    for (const run of this.#runs) {
      const { role, name } = run.container;
      if (role === "init") {
        // What has succeeded is not run again. Containers that follow it prove that it has.
        if (hasMain || found.get(name)?.exitCode === 0) continue;
        this.#begin(run, signal);
        await this.#until(() => run.exitCode !== undefined, signal);
        if (signal.aborted) return 0;
        if (run.exitCode !== 0) return await this.#endSidecars(run.exitCode ?? 1);
        continue;
      }
      this.#begin(run, signal);
      const isBegun = (): boolean => run.isStarted || run.exitCode !== undefined;
      await this.#until(
        role === "sidecar" ? isBegun : () => run.isBegun || run.exitCode !== undefined,
        signal,
      );
      if (signal.aborted) return 0;
    }
    const mains = this.#runs.filter(({ container }) => container.role === "main");
    const failed = (): number => mains.find(({ exitCode }) => (exitCode ?? 0) !== 0)?.exitCode ?? 0;
    const isOver = (): boolean => mains.every(({ exitCode }) => exitCode !== undefined);
    if (this.#options.detach) {
      const staying = this.#runs.filter(({ container }) => container.role !== "init");
      const isReady = (): boolean =>
        staying.every(({ isReady: ready, exitCode }) => ready || exitCode !== undefined);
      await this.#until(() => isOver() || failed() !== 0 || isReady(), signal);
      if (signal.aborted) return 0;
      if (!isOver()) {
        if (failed() === 0) this.#services.say(`pod ${this.#name} ${leftAlone(this.#plan)}`);
        return failed();
      }
    }
    await this.#until(isOver, signal);
    if (signal.aborted) {
      this.#services.say(`pod ${this.#name} ${leftAlone(this.#plan)}; --down removes it`);
      return 0;
    }
    return await this.#endSidecars(failed());
  }

  #begin(run: ContainerRun, signal: AbortSignal): void {
    this.#ends.set(
      run,
      run.run(signal).catch((error: unknown) => {
        this.#failure ??= { error };
        this.#tell();
      }),
    );
  }

  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    for (;;) {
      const changed = new Promise<void>((resolve) => (this.#tell = resolve));
      if (this.#failure !== undefined) throw this.#failure.error;
      if (signal.aborted || condition()) return;
      await changed;
    }
  }

  /** The pod is over: sidecars end in the reverse order of their starts. */
  async #endSidecars(code: number): Promise<number> {
    const sidecars = this.#runs.filter(
      (run) => run.container.role === "sidecar" && this.#ends.has(run),
    );
    for (const run of sidecars.reverse()) {
      await run.end();
      await this.#ends.get(run);
    }
    this.#services.say(
      `pod ${this.#name} has ended${code === 0 ? "" : ` with ${code}`}; --down removes it`,
    );
    return code;
  }

  async #ensurePod(): Promise<{ pod: PodOnNode; found: FoundContainers }> {
    const { say, disk } = this.#services;
    const found = await findPod(this.#services, this.#plan);
    if (found.state === "same") {
      await disk.clearMark(this.#plan);
      const pod = await this.#podOf(found.sandboxId);
      const runs = `${found.sandboxId.slice(0, 12)} address ${pod.addresses[0] ?? "unknown"}`;
      say(`pod ${this.#name} is there already, unchanged: ${runs}`);
      return { pod, found: found.containers };
    }
    if (found.state === "different" && !this.#options.replace) {
      throw new Error(
        `pod ${this.#name} is there from another manifest; --replace ends it and runs this one`,
      );
    }
    for (const container of this.#plan.containers) await this.#ensureImage(container);
    if (found.state !== "none") {
      say(`pod ${this.#name} ${found.state === "ended" ? "had ended: it is" : "is"} created again`);
      await takeDown(this.#services, this.#plan);
    }
    return { pod: await this.#createPod(), found: new Map() };
  }

  async #createPod(): Promise<PodOnNode> {
    const { runtime, say, disk } = this.#services;
    let sandboxId: string;
    try {
      await disk.make(this.#plan);
      const { sandbox: config, runtimeHandler } = this.#plan;
      ({ podSandboxId: sandboxId } = await runtime.runPodSandbox({ config, runtimeHandler }));
    } catch (error) {
      const left = await sandboxesOf(this.#services, this.#plan).catch(() => undefined);
      if (left?.length === 0) await disk.remove(this.#plan);
      throw error;
    }
    const pod = await this.#podOf(sandboxId);
    await disk.writeHosts(this.#plan, pod.addresses[0] ?? "");
    say(`pod ${this.#name} ${sandboxId.slice(0, 12)} address ${pod.addresses[0] ?? "unknown"}`);
    return pod;
  }

  async #podOf(sandboxId: string): Promise<PodOnNode> {
    const addresses = await addressesOf(this.#services, this.#plan, sandboxId);
    const prefix = this.#options.isOneOfSeveral ? `${this.#plan.name}/` : "";
    return { plan: this.#plan, sandboxId, addresses, title: ({ name }) => `${prefix}${name}` };
  }

  async #ensureImage({ image: name, pull }: PlannedContainer): Promise<void> {
    const { images, say } = this.#services;
    const image = { image: name };
    const { image: present } = await images.imageStatus({ image });
    if (pull === "Always" || (present === undefined && pull !== "Never")) {
      say(`pulling ${name}`);
      await images.pullImage({ image });
    } else if (present === undefined) {
      throw new Error(`image ${name} is not here and imagePullPolicy is Never`);
    }
  }

  /** Nobody has stopped the pod: with --down, with crictl, or by a restart of the machine. */
  async #isWanted({ sandboxId }: PodOnNode): Promise<boolean> {
    if (await this.#services.disk.isTakenDown(this.#plan)) return false;
    try {
      const { status } = await this.#services.runtime.podSandboxStatus({ podSandboxId: sandboxId });
      return status?.state === PodSandboxState.SANDBOX_READY;
    } catch (error) {
      if (isNotFound(error)) return false;
      // The next call will tell.
      if (isUnavailable(error)) return true;
      throw error;
    }
  }
}

/** What a pod lacks while no play watches it. */
function leftAlone({ containers }: PlannedPod): string {
  const isProbed = containers.some(({ probes }) => probes.liveness !== undefined);
  const isRestartedByUs = containers.some(
    ({ role, restartPolicy }) => role !== "init" && restartPolicy !== "Never",
  );
  const lacks = [...(isRestartedByUs ? ["restarts"] : []), ...(isProbed ? ["probes"] : [])];
  if (lacks.length === 0) return "runs on";
  return `runs on; nobody ${lacks.join(" or ")} its containers until it is played again`;
}
