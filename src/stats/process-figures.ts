import { readdirSync, readlinkSync } from "node:fs";
import { readKernelFile } from "./kept-file.ts";
import { wholeNumber } from "./scan.ts";

export interface ProcessFigures {
  processes: number;
  fileDescriptors: number;
  sockets: number;
  /** Soft limit of open files of the first process; undefined when unlimited. */
  openFilesSoft: bigint | undefined;
}

/** Descriptors looked at for one container; a server with a hundred thousand connections is counted up to here. */
const mostDescriptors = 20_000;

/** Open files and sockets of a container's processes; those that end meanwhile count as far as seen. */
export function processFigures(
  processIds: readonly number[],
  firstPid: number,
  proc = "/proc",
): ProcessFigures {
  let fileDescriptors = 0;
  let sockets = 0;
  for (const pid of processIds) {
    if (fileDescriptors > mostDescriptors) break;
    const folder = `${proc}/${pid}/fd`;
    for (const name of descriptorsOf(folder)) {
      fileDescriptors += 1;
      if (fileDescriptors > mostDescriptors) break;
      if (isSocket(`${folder}/${name}`)) sockets += 1;
    }
  }
  return {
    processes: processIds.length,
    fileDescriptors,
    sockets,
    openFilesSoft: softLimit(firstPid, proc),
  };
}

function descriptorsOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith("socket:");
  } catch {
    return false;
  }
}

function softLimit(pid: number, proc: string): bigint | undefined {
  const limits = readKernelFile(`${proc}/${pid}/limits`) ?? "";
  return wholeNumber(/^Max open files\s+(\S+)/m.exec(limits)?.[1]);
}
