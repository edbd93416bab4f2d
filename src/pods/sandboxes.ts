import { Semaphore } from "../sys/mutex.ts";
import { askedNameOf } from "../convert/names.ts";
import type { AskedName } from "../convert/names.ts";
import { errorText } from "../errors.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { lookUpSandbox } from "./lookup.ts";
import type { FoundSandbox } from "./lookup.ts";
import { isHalfDone } from "./phases.ts";
import { Sandbox } from "./sandbox.ts";
import { Unclaimed } from "./unclaimed.ts";

/** After a crash of a full node each is a plugin that runs, beside the kubelet's own calls. */
const settledAtOnce = 8;

/** Every pod sandbox of the node: one object for each asked name, for as long as there is a reason for it. */
export class Sandboxes {
  readonly #deps: SandboxDeps;
  readonly #abandonedMs: number;
  readonly #byName = new Map<AskedName, Sandbox>();
  readonly #abandoned = new Set<Sandbox>();
  readonly #settling = new Semaphore(settledAtOnce);

  /** @param abandonedMs how long a finished sandbox whose caller had gone waits for somebody to use it */
  constructor(deps: SandboxDeps, abandonedMs = 120_000) {
    this.#deps = deps;
    this.#abandonedMs = abandonedMs;
  }

  of(name: AskedName): Sandbox {
    let sandbox = this.#byName.get(name);
    if (sandbox === undefined) {
      const made: Sandbox = new Sandbox(
        name,
        this.#deps,
        new Unclaimed(this.#abandonedMs, (isWaiting) => {
          if (isWaiting) this.#abandoned.add(made);
          else this.#abandoned.delete(made);
        }),
      );
      sandbox = made;
      this.#byName.set(name, sandbox);
    }
    return sandbox;
  }

  /**
   * By id or unique prefix; undefined when neither Docker nor a record has it.
   *
   * @throws CriError InvalidArgument for an ambiguous prefix, Unavailable without an engine
   */
  async find(podSandboxId: string): Promise<{ sandbox: Sandbox; found: FoundSandbox } | undefined> {
    const found = await lookUpSandbox(this.#deps, podSandboxId);
    return found === undefined ? undefined : { sandbox: this.of(found.name), found };
  }

  /** Somebody was shown these sandboxes as READY, or works with them: they are not taken away any more. */
  claim(used: readonly { readonly id: string }[]): void {
    if (this.#abandoned.size === 0) return;
    const ids = new Set(used.map(({ id }) => id));
    for (const sandbox of [...this.#abandoned]) {
      if (sandbox.id !== undefined && ids.has(sandbox.id)) sandbox.claim();
    }
  }

  /** Why the last CNI DEL of this sandbox failed; its name in Docker says where to look. */
  delFailureOf(dockerName: string, id: string): string | undefined {
    return this.#byName.get(askedNameOf(dockerName))?.delFailureOf(id);
  }

  /** Resolves when no RunPodSandbox works on the sandbox with this name in Docker, at once when none does. */
  async setUpEnded(dockerName: string): Promise<void> {
    await this.#byName.get(askedNameOf(dockerName))?.setUpEnded();
  }

  /**
   * Between calls, and after a start: what a process that was killed, or a call that failed, has left
   * half-done is brought to an end. Nobody is left an address that no pod has. What fails is logged; a DEL
   * that has failed before is left to the kubelet, which repeats it.
   */
  async settle(): Promise<void> {
    for (const [name, sandbox] of this.#byName) {
      sandbox.dropLostNote();
      if (sandbox.isForgotten) this.#byName.delete(name);
    }
    const { log, records } = this.#deps;
    await Promise.all(
      records
        .all()
        .filter(isHalfDone)
        .map(({ name }) =>
          this.#settling.run(async () => {
            try {
              await this.of(name).settle();
            } catch (error) {
              log.warn(
                { sandbox: name, error: errorText(error) },
                "a partially created pod stays for now",
              );
            }
          }),
        ),
    );
  }
}
