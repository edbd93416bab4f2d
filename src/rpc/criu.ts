import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { unimplemented } from "../convert/field-checks.ts";
import { CriError, errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import { runProcess } from "../sys/process.ts";
import { readProcess } from "../sys/process-tree.ts";

const checkMs = 20_000;
/** The program may be installed, or the machine less busy, the next time. */
const againMs = 60_000;

/** Whether CRIU works on this node: asked at the first checkpoint, and again when it failed. */
export class Criu {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #asked: { atMs: number; reason: string | undefined } | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** @throws Unimplemented with CRIU's own words: the kubelet then answers the same to its caller */
  async require(): Promise<void> {
    const now = this.#clock.monotonicMs();
    const asked = this.#asked;
    if (asked === undefined || (asked.reason !== undefined && now - asked.atMs > againMs)) {
      this.#asked = { atMs: now, reason: await whyNot() };
    }
    const reason = this.#asked?.reason;
    if (reason !== undefined) {
      throw unimplemented(`checkpoint: CRIU cannot be used on this node: ${reason}`);
    }
  }
}

async function whyNot(): Promise<string | undefined> {
  try {
    const { exitCode, stdout, stderr } = await runProcess("criu", ["check"], {
      timeoutMs: checkMs,
    });
    if (exitCode === 0) return undefined;
    return `criu check: ${firstError(`${stderr}\n${stdout}`) || `exit status ${exitCode}`}`;
  } catch (error) {
    return errorText(error);
  }
}

/**
 * The first line that says "Error": those after it follow from it. Not the one about 32-bit programs,
 * which CRIU can do without, and which our unit's SystemCallArchitectures brings about.
 */
export function firstError(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const found =
    lines.find((line) => line.includes("Error") && !line.includes("ia32")) ??
    lines.find((line) => line !== "");
  return (found ?? "").slice(0, 300);
}

/** How the OCI runtime was called for a container, as the shim beside its bundle remembers. */
export interface OciBundle {
  readonly folder: string;
  readonly program: string;
  /** The runtime's own state folder, `--root`. */
  readonly root: string;
  readonly systemdCgroup: boolean;
}

/**
 * Docker's API does not say where a container's bundle and the runtime's state are. Its shim does:
 * it is the parent of the first process, and works in a bundle beside it.
 *
 * @throws FailedPrecondition when the container's parent is no containerd shim
 */
export function findBundle(pid: number, containerId: string): OciBundle {
  try {
    const shim = readProcess(pid)?.parent ?? 0;
    const words = readFileSync(`/proc/${shim}/cmdline`, "utf8").split("\0");
    const namespace = words[words.indexOf("-namespace") + 1] ?? "";
    // One shim may serve a pod: its own folder is then another container's.
    const folder = join(readlinkSync(`/proc/${shim}/cwd`), "..", containerId);
    if (!words[0]?.includes("containerd-shim") || !readdirSync(folder).includes("config.json")) {
      throw new Error(`process ${shim} is no shim with a bundle`);
    }
    const options = JSON.parse(readFileSync(join(folder, "options.json"), "utf8")) as {
      binary_name?: string;
      root?: string;
      systemd_cgroup?: boolean;
    };
    return {
      folder,
      program: options.binary_name || "runc",
      root: join(options.root || "/run/containerd/runc", namespace),
      systemdCgroup: options.systemd_cgroup === true,
    };
  } catch (error) {
    throw new CriError(
      "FailedPrecondition",
      `checkpoint: the bundle of container ${containerId} was not found: ${errorText(error)}`,
      { cause: error },
    );
  }
}
