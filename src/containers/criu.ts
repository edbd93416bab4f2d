import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { unimplemented } from "../convert/field-checks.ts";
import { CriError, errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import { isErrno } from "../sys/fs.ts";
import { ProcessError, runProcess } from "../sys/process.ts";
import { processAge, readProcess } from "../sys/process-tree.ts";
import type { ProcessAge } from "../sys/process-tree.ts";

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

/** Why CRIU cannot be used, undefined where it can. `program` is another one in tests. */
export async function whyNot(program = "criu"): Promise<string | undefined> {
  try {
    const { exitCode, stdout, stderr } = await runProcess(program, ["check"], {
      timeoutMs: checkMs,
    });
    if (exitCode === 0) return undefined;
    return `criu check: ${firstError(`${stderr}\n${stdout}`) || `exit status ${exitCode}`}`;
  } catch (error) {
    // A missing program is reported in words: "spawn criu" would be nobody's.
    if (error instanceof ProcessError && isErrno(error.cause, "ENOENT")) {
      return "criu is not installed";
    }
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

/**
 * How long an exec's command has been running. Its process is older: it is runc's own before, for
 * tens of milliseconds, or seconds on a node with too much to do. runc writes the pid's file when the
 * command takes over.
 */
export function execAge(exec: {
  pid: number;
  execId: string;
  containerId: string;
  containerPid: number;
}): ProcessAge {
  const { pid, execId, containerId, containerPid } = exec;
  const age = processAge(pid, containerId);
  if (age === "unknown") return age;
  try {
    const { folder } = findBundle(containerPid, containerId);
    if (age === "gone") return age;
    const writtenMs = statSync(join(folder, `${execId}.pid`)).mtimeMs;
    const sinceMs = Date.now() - writtenMs;
    // A wall clock that was set meanwhile tells nothing.
    return sinceMs >= 0 && sinceMs < age ? sinceMs : age;
  } catch {
    // Without a bundle of runc's kind the pid may be one of another kernel (gVisor), unless the
    // container has just ended with all its processes.
    return age === "gone" && readProcess(containerPid) !== undefined ? "unknown" : age;
  }
}

/**
 * Host pid of an exec by the file that the OCI runtime wrote into the bundle for the shim. "none": it has not
 * started, or has ended and the kernel may have given its pid away, or its container runs in another way.
 * "unknown": that could not be found out now.
 */
export function execPid(
  containerPid: number,
  containerId: string,
  execId: string,
): number | "none" | "unknown" {
  let folder: string;
  try {
    ({ folder } = findBundle(containerPid, containerId));
  } catch {
    // No shim of containerd's, or the container has just ended; or no descriptor is free.
    return cannotRead(containerPid) ? "unknown" : "none";
  }
  try {
    const pid = Number(readFileSync(join(folder, `${execId}.pid`), "utf8"));
    if (!Number.isInteger(pid) || pid <= 1) return "none";
    // Of an exec that ended unseen the file stays, and its pid may be another's: an exec is a child of the shim.
    const shim = readProcess(containerPid)?.parent;
    return shim !== undefined && readProcess(pid)?.parent === shim ? pid : "none";
  } catch (error) {
    return isErrno(error, "ENOENT") ? "none" : "unknown";
  }
}

function cannotRead(pid: number): boolean {
  try {
    readFileSync(`/proc/${pid}/cmdline`);
    return false;
  } catch {
    return true;
  }
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
      throw new Error(`process ${shim} is not a shim with a bundle`);
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
