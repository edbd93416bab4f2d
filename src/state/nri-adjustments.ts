import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "../log.ts";
import { ContainerFiles } from "./container-files.ts";

/** What NRI plugins said of one container at its create. Plain JSON; may hold secrets. */
export interface SavedAdjustment {
  /** Names of those that were asked. */
  readonly plugins: readonly string[];
  /** How it is carried out; undefined when nothing was asked for. Opaque here. */
  readonly plan?: object;
  /** False as long as what Docker must be informed of it may not have been informed. */
  readonly applied: boolean;
}

/**
 * One file for each container whose create NRI plugins were asked about. It is what tells such a container from one
 * that a process killed in the middle left behind.
 */
export class NriAdjustments extends ContainerFiles<SavedAdjustment> {
  /** A file that cannot be read, or is damaged, counts as none: its container is not started. */
  static async open(stateDir: string, log: Logger): Promise<NriAdjustments> {
    const adjustments = new NriAdjustments(join(stateDir, "nri"), { read: parse, write: format });
    return await adjustments.load(log, "what NRI plugins said cannot be read");
  }
}

const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function format(adjustment: SavedAdjustment): string {
  const text = JSON.stringify(adjustment);
  return `${sumOf(text)}\n${text}`;
}

function parse(bytes: Uint8Array): SavedAdjustment {
  const file = Buffer.from(bytes).toString("utf8");
  const end = file.indexOf("\n");
  const text = file.slice(end + 1);
  if (end < 0 || sumOf(text) !== file.slice(0, end)) throw new Error("the file is damaged");
  return JSON.parse(text) as SavedAdjustment;
}
