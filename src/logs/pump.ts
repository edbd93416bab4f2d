import { CriError } from "../errors.ts";
import type { LogTarget } from "./container-logs.ts";
import { appendGap, type LineBuffer } from "./format.ts";
import { resolveLogPath, type LogPath } from "./log-path.ts";
import { convertAll, convertLines } from "./parse.ts";
import { PlaceSearch } from "./place-search.ts";
import type { SourcePosition, TargetPosition } from "./position.ts";
import { UNSAVED_BYTES, type PumpDeps, type Round } from "./pump-parts.ts";
import { SourceChain } from "./source.ts";
import { CriLogFile } from "./target.ts";
import { ROUND_SLICES, type Workspace } from "./workspace.ts";

/** Moves one container's output. No two of its methods may run at once: its owner sees to that. */
export class Pump {
  readonly target: LogTarget;
  readonly #deps: PumpDeps;
  /** For lines of Dockline's own log. */
  readonly #id: object;
  readonly #path: LogPath;
  readonly #file: CriLogFile;
  #source: SourceChain;
  #dirty = false;
  #unsavedBytes = 0;
  #drained = false;
  /** Where the log ended when it was last open. */
  #end: TargetPosition | undefined;
  /** The log was deleted, and could not be made again yet; where the round began that saw it. */
  #deleted: { from: SourcePosition | null } | undefined;
  /** The position is in none of Docker's files: the log's last lines have to be read before the next round. */
  #isLost = false;
  /** The position is not known, or not true: until it is found by the log's last lines nothing is written. */
  #search: PlaceSearch | undefined;

  constructor(target: LogTarget, deps: PumpDeps) {
    this.target = target;
    this.#deps = deps;
    this.#id = { containerId: target.containerId };
    this.#path = resolveLogPath(target.logDirectory, target.logPath);
    this.#file = new CriLogFile(this.#path);
    this.#source = this.#chainFrom(null);
  }

  #chainFrom(position: SourcePosition | null): SourceChain {
    return new SourceChain(this.target.sourcePath, position, this.#deps.mostUnlinkedBytes);
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

  /** False: `prepare` has to be called before the next round. */
  get isReady(): boolean {
    return !this.#isLost;
  }

  get bytesBehind(): number {
    return this.#source.bytesBehind;
  }

  /**
   * Takes up the saved position or starts at the beginning; with `resumes`, behind the log's last line. Where there is no
   * log either, it makes one for a container that runs and is false for any other.
   */
  async open(options: { resumes: boolean; running: boolean }): Promise<boolean> {
    const saved = this.#deps.positions.load(this.target.containerId);
    if (saved === undefined && options.resumes) return await this.#openLost(options.running);
    this.#source = this.#chainFrom(saved?.source ?? null);
    this.#end = saved?.target;
    this.#drained = saved?.drained ?? false;
    if (this.#drained) return true;
    await this.#openFile();
    if (options.resumes) this.#saveOrStayDirty();
    else this.save();
    return true;
  }

  async #openFile(): Promise<void> {
    this.#deps.touch(this.#path.full);
    if (this.#file.open(this.#end)) return;
    if (await this.#searchByLines()) this.#source = this.#chainFrom(null);
  }

  async #openLost(running: boolean): Promise<boolean> {
    this.#deps.touch(this.#path.full);
    try {
      this.#file.open(undefined, { make: running });
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
    this.#deps.log.warn(
      this.#id,
      "the position in a container log is lost: going on with the lines that the log does not have yet",
    );
    if (!lines.some((line) => !line.isGap)) return false;
    this.#search = new PlaceSearch(this.#chainFrom(null), lines, this.#source.missing);
    return true;
  }

  /** The log was deleted: what is written to it nobody will read. */
  isLogGone(): boolean {
    this.#deps.touch(this.#path.full);
    return this.#file.isGone();
  }

  /** After `drained` a further start of following. */
  async wake(): Promise<void> {
    this.#drained = false;
    if (!this.#file.isOpen) await this.#openFile();
  }

  /** Reads the log's last lines where the position was lost. */
  async prepare(): Promise<void> {
    if (!this.#isLost) return;
    await this.#searchByLines();
    this.#source.lossSeen();
    this.#isLost = false;
  }

  /**
   * Copies up to two megabytes. Throws when a file can't be read or written; the position is then
   * where it was, and the round can be tried again.
   */
  round(space: Workspace): Round {
    if (this.#search !== undefined) return this.#findPlace(space, this.#search);
    if (this.#deleted !== undefined) this.#makeAgain(this.#deleted.from);
    const from = this.#source.position();
    const round = this.#copy(space);
    if (this.#isLost || !this.isLogGone()) return round;
    this.#deleted = { from };
    this.#makeAgain(from);
    return { ...round, atEnd: false };
  }

  /** What the last round wrote may have gone into the deleted file: it is read once more. */
  #makeAgain(from: SourcePosition | null): void {
    this.#deps.touch(this.#path.full);
    this.#file.reopen();
    this.#deps.log.warn(this.#id, "container log was deleted and is made again");
    this.#source.close();
    this.#source = this.#chainFrom(from);
    this.#deleted = undefined;
    this.#saveOrStayDirty();
  }

  #copy(space: Workspace): Round {
    if (this.#unsavedBytes >= UNSAVED_BYTES) this.#saveOrStayDirty();
    this.#deps.touch(this.target.sourcePath);
    let bytes = 0;
    const known = this.#source.hasFiles;
    const rotated = this.#source.discover();
    if (this.#source.isLost) {
      this.#deps.touch(this.#path.full);
      this.#file.goToLastLine();
      this.#isLost = true;
      return { bytes: 0, atEnd: false, rotated };
    }
    // From now on a rotation that this process does not live to see leaves a trace.
    if (!known && this.#source.hasFiles) this.#saveOrStayDirty();
    for (let slice = 0; slice < ROUND_SLICES; slice += 1) {
      this.#tellMissing(space.output);
      const complete = this.#source.headIsComplete;
      this.#deps.touch(this.target.sourcePath);
      const count = this.#source.read(space.input);
      const given = space.input.subarray(0, count);
      space.output.clear();
      const before = this.#deps.counts.unreadable;
      const convert = complete || count === space.input.length ? convertAll : convertLines;
      const done = convert(given, space.output, this.#deps.counts);
      try {
        this.#write(space.output.view());
      } catch (error) {
        this.#deps.counts.unreadable = before;
        throw error;
      }
      this.#source.advance(done, given);
      bytes += done;
      this.#unsavedBytes += done;
      if (done > 0) this.#dirty = true;
      if (complete && done === 0) {
        this.#source.shift();
        this.#dirty = true;
      } else if (!complete && count < space.input.length) return { bytes, atEnd: true, rotated };
    }
    return { bytes, atEnd: false, rotated };
  }

  /** A round through what the log has already. Docker's files are held meanwhile, to go on in them. */
  #findPlace(space: Workspace, search: PlaceSearch): Round {
    this.#deps.touch(this.target.sourcePath);
    const rotated = this.#source.discover();
    const { bytes, place } = search.round(space);
    if (place === undefined) return { bytes, atEnd: !this.#source.hasFiles, rotated };
    this.#source.goTo(place.source);
    this.#search = undefined;
    search.close();
    this.#saveOrStayDirty();
    return { bytes, atEnd: false, rotated };
  }

  /** Saves the position, together with what is in the CRI file at this moment. */
  save(): void {
    const isUnknown = this.#search !== undefined || this.#deleted !== undefined;
    if ((isUnknown || this.#source.isLost) && !this.#drained) return;
    this.#deps.positions.save(this.target.containerId, {
      source: this.#source.position(),
      target: this.#file.position(),
      drained: this.#drained,
    });
    this.#dirty = false;
    this.#unsavedBytes = 0;
  }

  /** The container has exited and a round met the end: keeps the position and no open file. */
  finish(): void {
    this.#deps.touch(this.#path.full);
    this.#file.settle();
    this.#drained = true;
    this.#saveOrStayDirty();
    this.#letGo();
  }

  #letGo(): void {
    this.#search?.close();
    this.#deps.touch(this.target.sourcePath);
    this.#source.close();
    this.#closeFile();
  }

  #closeFile(): void {
    this.#deps.touch(this.#path.full);
    this.#end = this.#file.position();
    this.#file.close();
  }

  /** A position that can't be saved is no failure: the kubelet would rename the old file over the new one. */
  reopen(): void {
    if (this.#file.isOpen) this.#saveOrStayDirty();
    this.#deps.touch(this.#path.full);
    this.#file.reopen();
    this.#saveOrStayDirty();
    if (this.#drained) this.#closeFile();
  }

  close(): void {
    try {
      if (this.#dirty) this.save();
    } finally {
      this.#letGo();
    }
  }

  #saveOrStayDirty(): void {
    this.#dirty = true;
    try {
      this.save();
    } catch {
      // Tried again by the schedule.
    }
  }

  #tellMissing(output: LineBuffer): void {
    const missing = this.#source.missing;
    if (missing === undefined) return;
    output.clear();
    appendGap(output, this.#deps.clock.nowNs(), missing);
    this.#write(output.view());
    this.#source.missingTold();
    this.#deps.counts.lostBytes += BigInt(missing);
    this.#dirty = true;
  }

  #write(lines: Buffer): void {
    if (lines.length === 0) return;
    this.#deps.touch(this.#path.full);
    this.#file.append(lines);
    this.#deps.counts.pumpedBytes += BigInt(lines.length);
  }
}
