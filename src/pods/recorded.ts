import type { AskedName } from "../convert/names.ts";
import type { Logger } from "../log.ts";
import type { SandboxPhase, SandboxRecord } from "../state/sandbox-records.ts";

/** Who asks. What has begun goes on when the caller goes; what waits for its turn ends. */
export interface Caller {
  signal: AbortSignal;
  log: Logger;
}

export type SandboxChange = { [K in keyof SandboxRecord]?: SandboxRecord[K] | undefined };

/** A sandbox as the ways up and down see it: its record, and the only ways to change that. `Sandbox` is it. */
export interface RecordedSandbox {
  readonly name: AskedName;
  readonly record: SandboxRecord | undefined;
  /** The first record of a set-up. */
  begin(record: SandboxRecord): Promise<void>;
  /** @throws what the disk says; the record in memory is then as it was */
  enter(phase: SandboxPhase, change: SandboxChange): Promise<SandboxRecord>;
  /** The same on the way down, which a full or broken disk must not stop; seen by others at once. */
  enterAnyway(phase: SandboxPhase, change?: SandboxChange): Promise<SandboxRecord>;
  /** The record goes: nothing is left of the sandbox. */
  forget(): Promise<void>;
  /** CNI DEL of a pod without a record has failed, or with undefined has succeeded. */
  noteForeignDel(id: string, failure: string | undefined): void;
}
