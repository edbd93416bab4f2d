import { join } from "node:path";
import { isNotFound, isUnavailable } from "../../cri/call-error.ts";
import { errorText } from "../../errors.ts";
import { ContainerState } from "../../gen/runtime/v1/api_pb.js";
import { expand, resolveEnvironment } from "./environment.ts";
import type { PlannedContainer, RestartPolicy } from "./plan.ts";
import { watchProbes } from "./probe-watch.ts";
import { requireNonRoot } from "./run-as.ts";
import type { PlayServices, PodOnNode } from "./services.ts";
import { runHook, stopContainer } from "./stop.ts";

const pollMs = 200;
/** The kubelet's: the first restart is immediate, then the waits double; they start over after a long run. */
const firstBackoffMs = 10_000;
const longestBackoffMs = 300_000;
const longRunMs = 600_000;
/** Longer than any hook should take: the kubelet has no limit of its own for postStart. */
const hookMs = 24 * 3_600_000;
/** What a shell says of a process that was killed: of a container that somebody else has removed. */
const killed = 137;

/** One run of a container: a container of the CRI. */
export interface Instance {
  id: string;
  attempt: number;
  isCreated: boolean;
  /** Of one that was found ended. */
  exitCode: number | undefined;
}

/** Keeps one container of a pod as its restart policy and its probes want it. */
export class ContainerRun {
  readonly container: PlannedContainer;
  /** It was started once. */
  isBegun = false;
  /** It runs, and its startup probe has succeeded. */
  isStarted = false;
  isReady = false;
  /** With which it ended for good. */
  exitCode: number | undefined;
  readonly #services: PlayServices;
  readonly #pod: PodOnNode;
  readonly #onChange: () => void;
  readonly #isWanted: () => Promise<boolean>;
  #instance: Instance | undefined;
  #isEnding = false;

  /**
   * `existing` is its newest container, if there is one. `isWanted` tells whether the pod still
   * stands; `onChange` is called when one of the fields above has changed.
   */
  constructor(
    services: PlayServices,
    pod: PodOnNode,
    container: PlannedContainer,
    options: {
      existing: Instance | undefined;
      isWanted: () => Promise<boolean>;
      onChange: () => void;
    },
  ) {
    this.#services = services;
    this.#pod = pod;
    this.container = container;
    this.#instance = options.existing;
    this.#isWanted = options.isWanted;
    this.#onChange = options.onChange;
  }

  get title(): string {
    return this.#pod.title(this.container);
  }

  /** Resolves when it has ended for good, or the signal has aborted; rejects when it cannot be run. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, say } = this.#services;
    let crashes = 0;
    while (!signal.aborted) {
      const instance = await this.#ensureRuns();
      const beganMs = clock.monotonicMs();
      const code = instance.exitCode ?? (await this.#watch(instance, signal));
      if (code === undefined) return;
      this.isReady = false;
      const restarts = !this.#isEnding && isRestarted(this.container.restartPolicy, code);
      if (!restarts) {
        say(`${this.title}: ended with ${code}`);
        this.exitCode = code;
        this.#onChange();
        return;
      }
      if (clock.monotonicMs() - beganMs >= longRunMs) crashes = 0;
      const waitMs =
        crashes === 0 ? 0 : Math.min(firstBackoffMs * 2 ** (crashes - 1), longestBackoffMs);
      crashes += 1;
      const when = waitMs === 0 ? "now" : `in ${waitMs / 1000} s`;
      say(`${this.title}: ended with ${code}, is restarted ${when}`);
      this.isStarted = false;
      this.#onChange();
      if (waitMs > 0) await clock.sleep(waitMs, signal).catch(() => undefined);
      if (isAborted(signal)) return;
      if (!(await this.#isWanted())) throw new Error("the pod was stopped by somebody else");
      this.#instance = await this.#create(instance.attempt + 1);
    }
  }

  /** Ends it for good, at the end of its pod. */
  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#instance !== undefined)
      await this.#stop(this.#instance.id, this.#pod.plan.graceSeconds);
  }

  async #ensureRuns(): Promise<Instance> {
    const { runtime, say } = this.#services;
    this.#instance ??= await this.#create(0);
    const instance = this.#instance;
    if (instance.isCreated) {
      try {
        await runtime.startContainer({ containerId: instance.id });
      } catch (error) {
        say(`${this.title}: cannot be started`);
        throw error;
      }
      instance.isCreated = false;
      const run = instance.attempt === 0 ? "" : ` (restart ${instance.attempt})`;
      say(
        `${this.title}: ${this.container.role} container ${instance.id.slice(0, 12)} started${run}`,
      );
      await this.#postStart(instance);
    }
    this.isBegun = true;
    this.#onChange();
    return instance;
  }

  async #create(attempt: number): Promise<Instance> {
    const { images, runtime } = this.#services;
    const { plan, sandboxId, addresses } = this.#pod;
    const { container } = this;
    const { image } = await images.imageStatus({ image: { image: container.image } });
    requireNonRoot(container, image);
    const variables = resolveEnvironment(container.environment, addresses);
    const expanded = (words: string[] | undefined): string[] =>
      (words ?? []).map((word) => expand(word, variables));
    const { containerId } = await runtime.createContainer({
      podSandboxId: sandboxId,
      sandboxConfig: plan.sandbox,
      config: {
        ...container.config,
        metadata: { name: container.name, attempt },
        command: expanded(container.config.command),
        args: expanded(container.config.args),
        logPath: this.#logPath(attempt),
        // As the kubelet does: by id, with the manifest's words beside it.
        image: { image: image?.id ?? container.image, userSpecifiedImage: container.image },
        envs: [...variables].map(([key, value]) => ({ key, value: Buffer.from(value) })),
      },
    });
    await this.#removeBefore(attempt - 1);
    return { id: containerId, attempt, isCreated: true, exitCode: undefined };
  }

  readonly #logPath = (attempt: number): string => `${this.container.name}/${attempt}.log`;

  /** Of the dead ones the last is kept, as the kubelet does. */
  async #removeBefore(attempt: number): Promise<void> {
    if (attempt < 1) return;
    const { runtime, disk } = this.#services;
    const { plan, sandboxId } = this.#pod;
    const { containers } = await runtime.listContainers({ filter: { podSandboxId: sandboxId } });
    for (const { id, metadata } of containers) {
      if (metadata?.name !== this.container.name || metadata.attempt >= attempt) continue;
      await runtime.removeContainer({ containerId: id });
      await disk.removeLog(plan, this.#logPath(metadata.attempt));
    }
  }

  /** Its exit code; undefined when the signal aborts first. */
  async #watch(instance: Instance, signal: AbortSignal): Promise<number | undefined> {
    const { follow } = this.#services;
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    const log = join(this.#pod.plan.logDirectory, this.#logPath(instance.attempt));
    const beside = [
      follow(log, this.title, until).catch((error: unknown) =>
        this.#services.say(`${this.title}: its log cannot be shown: ${errorText(error)}`),
      ),
      watchProbes(
        this.#services,
        this.#pod,
        { container: this.container, containerId: instance.id },
        {
          started: () => {
            this.isStarted = true;
            this.#onChange();
          },
          ready: (isReady, why) => this.#setReady(isReady, why),
          failed: (kind, why, graceSeconds) => this.#probeFailed(instance, kind, why, graceSeconds),
        },
        until,
      ),
    ];
    try {
      return await this.#untilExited(instance.id, signal);
    } finally {
      over.abort();
      await Promise.all(beside);
    }
  }

  /** Polls: a stream of events is more than a person waiting for one pod needs. */
  async #untilExited(containerId: string, signal: AbortSignal): Promise<number | undefined> {
    const { runtime, clock, say } = this.#services;
    let isAway = false;
    while (!signal.aborted) {
      try {
        const { status } = await runtime.containerStatus({ containerId });
        isAway = false;
        if (status?.state === ContainerState.CONTAINER_EXITED) return status.exitCode;
      } catch (error) {
        if (isNotFound(error)) {
          say(`${this.title}: was removed by somebody else`);
          return killed;
        }
        // The server restarts, or Docker does: pods go on meanwhile.
        if (!isUnavailable(error)) throw error;
        if (!isAway) say(`${this.title}: the server does not answer, waiting for it`);
        isAway = true;
      }
      await clock.sleep(pollMs, signal).catch(() => undefined);
    }
    return undefined;
  }

  #setReady(isReady: boolean, why: string): void {
    const hasProbe = this.container.probes.readiness !== undefined;
    if (this.isReady === isReady) return;
    this.isReady = isReady;
    if (hasProbe) this.#services.say(`${this.title}: ${isReady ? "ready" : `not ready: ${why}`}`);
    this.#onChange();
  }

  async #probeFailed(
    { id }: Instance,
    kind: string,
    why: string,
    graceSeconds = this.#pod.plan.graceSeconds,
  ): Promise<boolean> {
    const { say } = this.#services;
    say(`${this.title}: the ${kind} probe has failed (${why}), the container is stopped`);
    try {
      await this.#stop(id, graceSeconds);
      return true;
    } catch (error) {
      say(`${this.title}: it cannot be stopped: ${errorText(error)}`);
      return false;
    }
  }

  async #stop(containerId: string, graceSeconds: number): Promise<void> {
    const place = { ...this.#place(containerId), title: this.title };
    await stopContainer(this.#services, this.container, place, graceSeconds);
  }

  readonly #place = (containerId: string): { containerId: string; address: string } => ({
    containerId,
    address: this.#pod.addresses[0] ?? "127.0.0.1",
  });

  /** As with the kubelet, a container whose hook fails is ended, and restarted by its policy. */
  async #postStart({ id }: Instance): Promise<void> {
    const hook = this.container.hooks.postStart;
    if (hook === undefined) return;
    const { outcome, text } = await runHook(this.#services, hook, this.#place(id), hookMs);
    if (outcome !== "failure") return;
    this.#services.say(`${this.title}: its postStart hook has failed (${text}), it is stopped`);
    await this.#stop(id, this.#pod.plan.graceSeconds);
  }
}

/** Asked again after a wait, which the compiler does not see. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;

export const isRestarted = (policy: RestartPolicy, exitCode: number): boolean =>
  policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
