import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { removeBridge } from "../support/node-network.ts";
import { removeSharedFolder } from "./fixtures.ts";

/** Folders of runs begin so. */
export const runPrefix = join(tmpdir(), "dldiff-");
const ownerFile = "owner.json";
/** A folder without a note is another run's that has just made it, or one that was killed then. */
const noteMs = 600_000;

/** What belongs to one side of a run beside its folder. */
export interface RunsOwn {
  readonly bridge?: string;
  /** Pid of `dockline serve`. */
  readonly server?: number;
  /** That server's own folder. */
  readonly folder?: string;
}

interface Owner extends RunsOwn {
  readonly run: ProcessName;
  readonly serverName?: ProcessName;
}

/** A pid may be given away again; with its start time it may not. */
type ProcessName = [pid: number, startTime: string];

/** Notes what is to be removed with a folder when its run is killed. */
export function noteOwner(folder: string, own: RunsOwn): void {
  const owner: Owner = {
    ...own,
    run: [process.pid, startTime(process.pid) ?? ""],
    ...(own.server === undefined
      ? {}
      : { serverName: [own.server, startTime(own.server) ?? ""] as ProcessName }),
  };
  writeFileSync(join(folder, ownerFile), JSON.stringify(owner));
}

/** Removes what runs have left that were killed; their pods at the engine are the next node's to remove. */
export function sweepKilledRuns(prefix = runPrefix): string[] {
  const swept: string[] = [];
  for (const name of readdirSync(dirname(prefix))) {
    if (!name.startsWith(basename(prefix))) continue;
    const folder = join(dirname(prefix), name);
    const owner = readOwner(folder);
    if (owner === undefined ? isNew(folder) : isAlive(owner.run)) continue;
    if (owner?.serverName !== undefined && isAlive(owner.serverName)) {
      process.kill(owner.serverName[0], "SIGKILL");
    }
    if (owner?.bridge !== undefined) removeBridge(owner.bridge);
    if (owner?.folder !== undefined) rmSync(owner.folder, { recursive: true, force: true });
    removeSharedFolder(folder);
    swept.push(folder);
  }
  return swept;
}

function readOwner(folder: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, ownerFile), "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

const isNew = (folder: string): boolean =>
  existsSync(folder) && Date.now() - statSync(folder).mtimeMs < noteMs;

const isAlive = ([pid, started]: ProcessName): boolean => startTime(pid) === started;

/** In ticks since the boot; undefined when there is no such process, or it is over and not yet waited for. */
function startTime(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
