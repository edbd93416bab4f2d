import { existsSync } from "node:fs";
import { isObject } from "../convert/field-checks.ts";
import { isEditingRuntime } from "../convert/runtime-handler.ts";
import type { EditingRuntime } from "../convert/engine-facts.ts";
import type { EngineSelf } from "../engine/info-cache.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { EditsFolder } from "../state/edits-folder.ts";
import { settleWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import { runProcess } from "../sys/process.ts";
import type { RunResult } from "../sys/process.ts";

/** What is known of dockline-oci on an engine. */
export interface EditingReport {
  /** Those that can be used. */
  readonly runtimes: readonly EditingRuntime[];
  /** For those that are registered and can't: why. */
  readonly unusable: ReadonlyMap<string, string>;
}

/** The name and arguments with which Docker calls it. */
export interface Registration {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
}

export interface EditingDeps {
  folder: Pick<EditsFolder, "path">;
  /** The file system that holds the containers' layers. */
  layers(): string;
  clock: Pick<Clock, "monotonicMs" | "sleep">;
  log: Logger;
}

/** The version of the edits that this Dockline writes. */
const EDITS_VERSION = 1;
/** What it must have learned since that version for lists to be edited by key. */
const listOperations = ["listPut", "listDrop", "envDrop", "sortMounts", "requires"];
const DEFAULT_FOLDER = "/run/dockline/oci";
const OVERLAY_DRIVERS = ["overlay2", "overlayfs"];
const probeMs = 20_000;
/** The first answers after a start wait so long for the first probe; it takes some hundredths of a second. */
const firstMs = 2_000;
/** A failure may be temporary, so it is tried again, but not for each call. */
const retryMs = 60_000;
const nothing: EditingReport = { runtimes: [], unusable: new Map() };

/**
 * Finds dockline-oci among the engine's runtimes and tries what it can do, once for each time that
 * the engine was asked about itself: a version says little about kernel, file system and runtime.
 */
export class EditingRuntimes {
  readonly #deps: EditingDeps;
  readonly #known = new WeakMap<EngineSelf, { report: Promise<EditingReport>; atMs: number }>();
  #last = nothing;
  readonly #settled = new WeakMap<EngineSelf, EditingReport>();

  constructor(deps: EditingDeps) {
    this.#deps = deps;
  }

  /** Never rejects. */
  of(self: EngineSelf): Promise<EditingReport> {
    const now = this.#deps.clock.monotonicMs();
    const known = this.#known.get(self);
    const failed = (this.#settled.get(self)?.unusable.size ?? 0) > 0;
    if (known !== undefined && !(failed && now - known.atMs > retryMs)) return known.report;
    const report = this.#probeAll(self).then((found) => {
      this.#settled.set(self, found);
      this.#last = found;
      this.#known.set(self, { report, atMs: now });
      return found;
    });
    // Another try takes up to 20 s for each program: calls go on with what the last one said.
    const meanwhile = known?.report ?? report;
    this.#known.set(self, { report: meanwhile, atMs: now });
    return meanwhile;
  }

  /**
   * Resolves once anything was found out, of this engine or an earlier one, and after 2 s in any case: a kubelet that asks at once
   * would take a handler for one without user namespaces.
   */
  async first(self: EngineSelf): Promise<void> {
    if (this.#settled.has(self)) return;
    // Found out in any case: whoever asks first about a reloaded engine may be the only one.
    const report = this.of(self);
    if (this.#last !== nothing) return;
    await settleWithin(report, firstMs, this.#deps.clock);
  }

  /** Without waiting: what was found last, so that a reload does not make features come and go. */
  peek(self: EngineSelf): EditingReport {
    return this.#settled.get(self) ?? this.#last;
  }

  async #probeAll(self: EngineSelf): Promise<EditingReport> {
    const runtimes: EditingRuntime[] = [];
    const unusable = new Map<string, string>();
    for (const registration of registrations(self)) {
      const { name } = registration;
      try {
        runtimes.push(await this.#probe(registration, self));
      } catch (error) {
        unusable.set(name, errorText(error));
        this.#deps.log.warn({ runtime: name, error: errorText(error) }, "dockline-oci is unusable");
      }
    }
    for (const { features, ...runtime } of runtimes) {
      const spec = features?.ociVersionMax;
      this.#deps.log.info({ ...runtime, spec }, "dockline-oci is usable");
    }
    return { runtimes, unusable };
  }

  /** containerd's folder is found by what runs in it: the engine's own is as good a guess as any. */
  #layers(self: EngineSelf): string {
    const found = this.#deps.layers();
    return existsSync(found) ? found : self.info.DockerRootDir;
  }

  async #probe(registration: Registration, self: EngineSelf): Promise<EditingRuntime> {
    const { name, path, args } = registration;
    const folder = args.find((arg) => arg.startsWith("--edits="))?.slice(8) ?? DEFAULT_FOLDER;
    if (folder !== this.#deps.folder.path) {
      throw new Error(
        `it reads edits in ${folder}, this Dockline writes ${this.#deps.folder.path}`,
      );
    }
    const version = parse(await call(path, ["--dockline-version"]));
    if (version["edits"] !== EDITS_VERSION) {
      throw new Error(
        `it understands version ${String(version["edits"])} of edits, not ${EDITS_VERSION}`,
      );
    }
    const said = version["operations"];
    const operations: readonly unknown[] = Array.isArray(said) ? said : [];
    const tried = await call(path, [`--dockline-probe=${this.#layers(self)}`, ...args]);
    const answer = parse(tried);
    const reason = OVERLAY_DRIVERS.includes(self.info.Driver)
      ? tried.stderr.trim().replace(/^dockline-oci: /, "")
      : `the storage driver is ${self.info.Driver}, not overlay2`;
    return {
      name,
      recursiveReadOnly: answer["recursiveReadOnly"] === true,
      lists: listOperations.every((one) => operations.includes(one)),
      ...(isObject(answer["features"]) ? { features: answer["features"] } : {}),
      networkNamespaces: operations.includes("networkNamespace"),
      ...(answer["userNamespaces"] === true && OVERLAY_DRIVERS.includes(self.info.Driver)
        ? {}
        : { noUserNamespaces: reason }),
    };
  }
}

/** Those of daemon.json whose name is kept for dockline-oci. */
export function registrations(self: EngineSelf): Registration[] {
  return Object.entries(self.info.Runtimes ?? {}).flatMap(([name, { path, runtimeArgs }]) =>
    isEditingRuntime(name) && path !== undefined && path.startsWith("/")
      ? [{ name, path, args: runtimeArgs ?? [] }]
      : [],
  );
}

async function call(path: string, args: readonly string[]): Promise<RunResult> {
  return await runProcess(path, args, { timeoutMs: probeMs });
}

function parse(result: RunResult): Record<string, unknown> {
  try {
    return JSON.parse(result.stdout) as Record<string, unknown>;
  } catch {
    const said = result.stderr.trim() || `exit status ${result.exitCode}`;
    throw new Error(said.slice(0, 300));
  }
}
