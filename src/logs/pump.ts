import { CriError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { LogTarget } from "./container-logs.ts";
import { appendGap, type LineBuffer } from "./format.ts";
import { resolveLogPath } from "./log-path.ts";
import { convertLines, type ConvertCounts } from "./parse.ts";
import { PlaceSearch } from "./place-search.ts";
import type { PositionStore, SourcePosition, TargetPosition } from "./position.ts";
import { SourceChain } from "./source.ts";
import { CriLogFile } from "./target.ts";
import { ROUND_SLICES, type Workspace } from "./workspace.ts";

/**
 * Source bytes after which the position is saved at once. What a killed process had not saved has
 * to be read again and must still be in Docker's few files then.
 */
const UNSAVED_BYTES = 4 * 1024 * 1024;

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
  readonly #log: Logger;
  readonly #positions: PositionStore;
  readonly #counts: PumpCounts;
  readonly #file: CriLogFile;
  readonly #mostUnlinkedBytes: number;
  #source: SourceChain;
  #dirty = false;
  #unsavedBytes = 0;
  #drained = false;
  /** Where the log ended when it was last open. */
  #end: TargetPosition | undefined;
  /** The position is not known, or not true: until it is found by the log's last lines nothing is written. */
  #search: PlaceSearch | undefined;

  constructor(
    target: LogTarget,
    deps: {
      clock: Clock;
      log: Logger;
      positions: PositionStore;
      counts: PumpCounts;
      mostUnlinkedBytes: number;
    },
  ) {
    this.target = target;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#positions = deps.positions;
    this.#counts = deps.counts;
    this.#mostUnlinkedBytes = deps.mostUnlinkedBytes;
    this.#file = new CriLogFile(resolveLogPath(target.logDirectory, target.logPath));
    this.#source = this.#chainFrom(null);
  }

  #chainFrom(position: SourcePosition | null): SourceChain {
    return new SourceChain(this.target.sourcePath, position, this.#mostUnlinkedBytes);
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
   * Takes up the saved position or starts at the beginning; with `resumes`, behind the log's last line. Where there is no
   * log either, it makes one for a container that runs and is false for any other.
   */
  async open(options: { resumes: boolean; running: boolean }): Promise<boolean> {
    const saved = await this.#positions.load(this.target.containerId);
    if (saved === undefined && options.resumes) return await this.#openLost(options.running);
    this.#source = this.#chainFrom(saved?.source ?? null);
    this.#end = saved?.target;
    this.#drained = saved?.drained ?? false;
    if (this.#drained) return true;
    await this.#openFile();
    if (options.resumes) await this.#saveOrStayDirty();
    else await this.save();
    return true;
  }

  async #openFile(): Promise<void> {
    if (await this.#file.open(this.#end)) return;
    if (await this.#searchByLines()) this.#source = this.#chainFrom(null);
  }

  async #openLost(running: boolean): Promise<boolean> {
    try {
      await this.#file.open(undefined, { make: running });
    } catch (error) {
      const isNone = error instanceof CriError && /^(NotFound|InvalidArgument)$/.test(error.kind);
      if (isNone && !running) return false;
      throw error;
    }
    await this.#searchByLines();
    return true;
  }

  /** False where the log has no line at all: the position stays what it is. */
  async #searchByLines(): Promise<boolean> {
    const lines = await this.#file.lastLines();
    this.#log.warn(
      { containerId: this.target.containerId },
      "the position in a container log is lost: going on with the lines that the log does not have yet",
    );
    if (!lines.some((line) => !line.isGap)) return false;
    this.#search = new PlaceSearch(this.#chainFrom(null), lines, this.#source.missing);
    return true;
  }

  /** After `drained` a further start of following. */
  async wake(): Promise<void> {
    this.#drained = false;
    if (!this.#file.isOpen) await this.#openFile();
  }

  /**
   * Copies up to two megabytes. Throws when a file can't be read or written; the position is then
   * where it was, and the round can be tried again.
   */
  async round(space: Workspace): Promise<Round> {
    if (this.#search !== undefined) return await this.#findPlace(space, this.#search);
    if (this.#unsavedBytes >= UNSAVED_BYTES) await this.#saveOrStayDirty();
    let bytes = 0;
    const known = this.#source.hasFiles;
    const rotated = await this.#source.discover();
    if (this.#source.isLost) {
      await this.#file.goToLastLine();
      const searches = await this.#searchByLines();
      this.#source.lossSeen();
      if (searches) return { bytes: 0, atEnd: false, rotated };
    }
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

  /** A round through what the log has already. Docker's files are held meanwhile, to go on in them. */
  async #findPlace(space: Workspace, search: PlaceSearch): Promise<Round> {
    const rotated = await this.#source.discover();
    const { bytes, place } = await search.round(space);
    if (place === undefined) return { bytes, atEnd: !this.#source.hasFiles, rotated };
    await this.#source.goTo(place.source);
    this.#search = undefined;
    await search.close();
    await this.#saveOrStayDirty();
    return { bytes, atEnd: false, rotated };
  }

  /** Saves the position, together with what is in the CRI file at this moment. */
  async save(): Promise<void> {
    const isKnown = this.#search === undefined && !this.#source.isLost;
    if (!isKnown && !this.#drained) return;
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
    await this.#search?.close();
    await this.#source.close();
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    this.#end = this.#file.position();
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
    if (this.#drained) await this.#closeFile();
  }

  async close(): Promise<void> {
    try {
      if (this.#dirty) await this.save();
    } finally {
      await this.#search?.close();
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
