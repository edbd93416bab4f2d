import type { Clock } from "../sys/clock.ts";
import type { LogTarget } from "./container-logs.ts";
import { appendGap, LineBuffer } from "./format.ts";
import { behindLine, endOfLog } from "./last-line.ts";
import { resolveLogPath } from "./log-path.ts";
import { convertLines, type ConvertCounts } from "./parse.ts";
import type { PositionStore } from "./position.ts";
import { SourceChain } from "./source.ts";
import { CriLogFile } from "./target.ts";

/**
 * Bytes converted between two turns of the event loop: half a millisecond or so. It also bounds a
 * line; Docker's longest is 16 KiB of content, six times that when all of it is escaped.
 */
const SLICE_BYTES = 256 * 1024;
/** Slices in one round, so that a reopen waits for little. */
const ROUND_SLICES = 8;

/**
 * Source bytes after which the position is saved at once. What a killed process had not saved has
 * to be read again and must still be in Docker's few files then.
 */
const UNSAVED_BYTES = 4 * 1024 * 1024;

/** The buffers that one round works in; shared by all containers, one after the other. */
export interface Workspace {
  input: Buffer;
  output: LineBuffer;
}

export function createWorkspace(): Workspace {
  return { input: Buffer.allocUnsafeSlow(SLICE_BYTES), output: new LineBuffer(SLICE_BYTES) };
}

/** Sums over all containers. */
export interface PumpCounts extends ConvertCounts {
  pumpedBytes: bigint;
  lostBytes: bigint;
}

/** What a round did. */
export interface Round {
  /** Source bytes dealt with. */
  bytes: number;
  /** Nothing was left to read at some moment of the round. */
  atEnd: boolean;
  /** Docker had made a new file since the last round. */
  rotated: boolean;
}

/** Moves one container's output. No two of its methods may run at once: its owner sees to that. */
export class Pump {
  readonly target: LogTarget;
  readonly #clock: Clock;
  readonly #positions: PositionStore;
  readonly #counts: PumpCounts;
  readonly #file: CriLogFile;
  readonly #mostUnlinkedBytes: number;
  #source: SourceChain;
  #dirty = false;
  #unsavedBytes = 0;
  #drained = false;
  /** The log's last line, without a position: until it is met in Docker's files nothing is written. */
  #sought: Buffer | undefined;
  positionLost = false;

  constructor(
    target: LogTarget,
    deps: {
      clock: Clock;
      positions: PositionStore;
      counts: PumpCounts;
      mostUnlinkedBytes: number;
    },
  ) {
    this.target = target;
    this.#clock = deps.clock;
    this.#positions = deps.positions;
    this.#counts = deps.counts;
    this.#mostUnlinkedBytes = deps.mostUnlinkedBytes;
    this.#file = new CriLogFile(resolveLogPath(target.logDirectory, target.logPath));
    this.#source = new SourceChain(target.sourcePath, null, deps.mostUnlinkedBytes);
  }

  /** There is something that the saved position does not know. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Source bytes dealt with since the position was saved. */
  get unsavedBytes(): number {
    return this.#unsavedBytes;
  }

  /** The container has exited and its output was read to the end; no file is held. */
  get drained(): boolean {
    return this.#drained;
  }

  /** st_dev of the log file. */
  get device(): bigint {
    return this.#file.device;
  }

  get bytesBehind(): number {
    return this.#source.bytesBehind;
  }

  /**
   * Takes up the saved position or starts over. With `mustHavePosition` it goes on behind the log's last
   * line where there is no position, and is false where there is no log either.
   */
  async open(options: { mustHavePosition: boolean }): Promise<boolean> {
    const saved = await this.#positions.load(this.target.containerId);
    if (saved === undefined && options.mustHavePosition) return await this.#openLost();
    this.#source = new SourceChain(
      this.target.sourcePath,
      saved?.source ?? null,
      this.#mostUnlinkedBytes,
    );
    this.#drained = saved?.drained ?? false;
    if (this.#drained) return true;
    await this.#file.open(saved?.target);
    await this.save();
    return true;
  }

  async #openLost(): Promise<boolean> {
    const { logDirectory, logPath } = this.target;
    const end = await endOfLog(resolveLogPath(logDirectory, logPath));
    if (end === undefined) return false;
    this.positionLost = true;
    this.#sought = end.line;
    await this.#file.open(end.target);
    return true;
  }

  /** After `drained` a further start of following. */
  async wake(): Promise<void> {
    this.#drained = false;
    if (!this.#file.isOpen) await this.#file.open();
  }

  /**
   * Copies up to two megabytes. Throws when a file can't be read or written; the position is then
   * where it was, and the round can be tried again.
   */
  async round(space: Workspace): Promise<Round> {
    if (this.#sought !== undefined) return await this.#seek(space, this.#sought);
    if (this.#unsavedBytes >= UNSAVED_BYTES) await this.#saveOrStayDirty();
    let bytes = 0;
    const known = this.#source.hasFiles;
    const rotated = await this.#source.discover();
    if (!known && this.#source.hasFiles) {
      // From now on a rotation that this process does not live to see leaves a trace.
      await this.#saveOrStayDirty();
    }
    for (let slice = 0; slice < ROUND_SLICES; slice += 1) {
      await this.#tellMissing(space.output);
      const complete = this.#source.headIsComplete;
      const count = await this.#source.read(space.input);
      const given = space.input.subarray(0, count);
      space.output.clear();
      const before = this.#counts.unreadable;
      let done = convertLines(given, space.output, this.#counts);
      if (done === 0 && count > 0 && (complete || count === space.input.length)) {
        // The half entry at the end of a file that grows no more, or a line that is none of Docker's.
        done = count;
        this.#counts.unreadable += 1;
      }
      try {
        await this.#write(space.output.view());
      } catch (error) {
        this.#counts.unreadable = before;
        throw error;
      }
      this.#source.advance(done, given);
      bytes += done;
      this.#unsavedBytes += done;
      if (done > 0) this.#dirty = true;
      if (complete && done === 0) {
        await this.#source.shift();
        this.#dirty = true;
      } else if (!complete && count < space.input.length) return { bytes, atEnd: true, rotated };
    }
    return { bytes, atEnd: false, rotated };
  }

  /** A round through what the log has already. */
  async #seek(space: Workspace, sought: Buffer): Promise<Round> {
    const rotated = await this.#source.discover();
    let bytes = 0;
    for (let slice = 0; slice < ROUND_SLICES && this.#sought !== undefined; slice += 1) {
      const complete = this.#source.headIsComplete;
      const count = await this.#source.read(space.input);
      const given = space.input.subarray(0, count);
      space.output.clear();
      let done = convertLines(given, space.output, { unreadable: 0 });
      if (done === 0 && count > 0 && (complete || count === space.input.length)) done = count;
      const behind = behindLine(space.output.view(), sought);
      if (behind !== undefined) await this.#write(space.output.view().subarray(behind));
      this.#source.advance(done, given);
      bytes += done;
      if (behind !== undefined) this.#sought = undefined;
      else if (complete && done === 0) await this.#source.shift();
      else if (!complete && count < space.input.length) await this.#beginBehindGap(space.output);
    }
    if (this.#sought === undefined) this.#dirty = true;
    return { bytes, atEnd: false, rotated };
  }

  /** Docker has rotated the log's last line away: all that is there came later. */
  async #beginBehindGap(output: LineBuffer): Promise<void> {
    output.clear();
    appendGap(output, this.#clock.nowNs(), 0);
    await this.#write(output.view());
    await this.#source.close();
    this.#source = new SourceChain(this.target.sourcePath, null, this.#mostUnlinkedBytes);
    this.#sought = undefined;
  }

  /** Saves the position, together with what is in the CRI file at this moment. */
  async save(): Promise<void> {
    if (this.#sought !== undefined) return;
    await this.#positions.save(this.target.containerId, {
      source: this.#source.position(),
      target: this.#file.position(),
      drained: this.#drained,
    });
    this.#dirty = false;
    this.#unsavedBytes = 0;
  }

  /** The container has exited and a round met the end: keeps the position and no open file. */
  async finish(): Promise<void> {
    await this.#file.settle();
    this.#drained = true;
    await this.#saveOrStayDirty();
    await this.#source.close();
    await this.#file.close();
  }

  /**
   * A position that can't be saved is no failure here: the kubelet would rename the old file back
   * over the one that is written now.
   */
  async reopen(): Promise<void> {
    if (this.#file.isOpen) await this.#saveOrStayDirty();
    await this.#file.reopen();
    await this.#saveOrStayDirty();
    if (this.#drained) await this.#file.close();
  }

  async close(): Promise<void> {
    try {
      if (this.#dirty) await this.save();
    } finally {
      await this.#source.close();
      await this.#file.close();
    }
  }

  async #saveOrStayDirty(): Promise<void> {
    this.#dirty = true;
    await this.save().catch(() => undefined);
  }

  async #tellMissing(output: LineBuffer): Promise<void> {
    const missing = this.#source.missing;
    if (missing === undefined) return;
    output.clear();
    appendGap(output, this.#clock.nowNs(), missing);
    await this.#write(output.view());
    this.#source.missingTold();
    this.#counts.lostBytes += BigInt(missing);
    this.#dirty = true;
  }

  async #write(lines: Buffer): Promise<void> {
    if (lines.length === 0) return;
    await this.#file.append(lines);
    this.#counts.pumpedBytes += BigInt(lines.length);
  }
}
