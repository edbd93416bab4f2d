import {
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { errorText, invalidArgument } from "../errors.ts";
import type { Logger } from "../log.ts";
import { refuseNewer } from "../state/newer-file.ts";
import { isErrno } from "../sys/fs.ts";
import { readPositionFiles, removePositionFiles, writePositionFiles } from "./position-files.ts";
import { asPosition, type Position } from "./position.ts";

const NAME = "positions.journal";
/** Of one that is being written. */
const HALF_SUFFIX = ".tmp";
/** The form that this release writes. */
const FORM = 1;
/** The journal is written without its past once it is so much larger than it was then. */
const GROWTH = 4;
const LEAST_PAST_BYTES = 256 * 1024;

/** Says what the thread works on, for those who watch whether it hangs. */
export type Touch = (path: string) => void;

interface JournalDeps {
  /** Dockline's own folder for logs; made when it is missing. */
  folder: string;
  log: Logger;
  touch?: Touch;
}

/**
 * The positions of all containers in one file: a line for each save, of which the last one for a container counts.
 * Each start writes it without its past into a new file and renames that over the old one, so that a process or
 * thread that was given up writes to a file that nobody reads. No fsync: the journal guards against the death of
 * this process, which the page cache outlives. A power cut ends the containers too, and may cost the last lines
 * of their logs as it does with any runtime.
 */
export class PositionJournal {
  readonly #folder: string;
  readonly #path: string;
  readonly #log: Logger;
  readonly #touch: Touch;
  readonly #positions = new Map<string, Position>();
  /** Containers whose last change is not in the file yet. */
  readonly #unwritten = new Set<string>();
  /** Of the file that this object has written: it is open only while it is written, so that its disk can be remounted. */
  #inode: number | undefined;
  #bytes = 0;
  #bytesWithoutPast = 0;
  #isOpen = false;
  /** A newer release wrote the file: it is not written over. */
  #leftAlone = false;
  #isBatch = false;

  constructor({ folder, log, touch = () => undefined }: JournalDeps) {
    this.#folder = folder;
    this.#path = join(folder, NAME);
    this.#log = log;
    this.#touch = touch;
  }

  /** Reads what an earlier process left; may be repeated. */
  open(): void {
    if (this.#isOpen) return;
    this.#touch(this.#path);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#positions.clear();
    this.#read();
    for (const [id, position] of readPositionFiles(this.#folder)) {
      if (position === undefined) this.#positions.delete(id);
      else this.#positions.set(id, position);
    }
    this.#isOpen = true;
    try {
      this.#writeAll();
      this.#removeHalves();
    } catch (error) {
      // As on a disk that is full: it is tried again with the next position, which then says so.
      this.#log.debug({ error: errorText(error) }, "journal of container logs can not be written");
    }
  }

  /** Undefined when there is none, or none that can be read as one. */
  load(containerId: string): Position | undefined {
    return this.#positions.get(checked(containerId));
  }

  /** Old or new position is in the file at every moment. In a batch it is written at its end. */
  save(containerId: string, position: Position): void {
    this.#positions.set(checked(containerId), position);
    this.#unwritten.add(containerId);
    if (!this.#isBatch) this.#write();
  }

  /** Never fails: what a restart finds of a container that is gone is dropped then. */
  forget(containerId: string): void {
    if (!this.#positions.delete(checked(containerId))) return;
    this.#unwritten.add(containerId);
    if (this.#isBatch) return;
    try {
      this.#write();
    } catch (error) {
      this.#log.debug({ containerId, error: errorText(error) }, "log position is dropped later");
    }
  }

  /** All that is saved in `work` is written together, also what could not be written before. */
  batch(work: () => void): void {
    this.#isBatch = true;
    try {
      work();
    } finally {
      this.#isBatch = false;
    }
    this.#write();
  }

  /** Ids of all containers with a position. */
  list(): string[] {
    return [...this.#positions.keys()];
  }

  /**
   * Leaves a file for each container in place of the journal: an older release that is installed next knows nothing
   * else. The next start takes them over again.
   */
  close(): void {
    if (this.#isOpen && !this.#leftAlone) {
      try {
        this.#touch(this.#path);
        writePositionFiles(this.#folder, this.#positions);
        rmSync(this.#path, { force: true });
      } catch (error) {
        // What was written says what the journal says, which stays.
        this.#log.warn({ error: errorText(error) }, "log positions are left in the journal alone");
      }
    }
    this.#inode = undefined;
    this.#isOpen = false;
  }

  #read(): void {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    // What follows the last newline is half a line, of a process that was killed.
    const [head, ...lines] = text.split("\n").slice(0, -1).map(parse);
    try {
      refuseNewer(head?.["v"], FORM);
    } catch (error) {
      this.#leftAlone = true;
      this.#log.warn({ path: this.#path, error: errorText(error) }, "log positions are not kept");
      return;
    }
    for (const line of lines) {
      const id = line?.["id"];
      if (typeof id !== "string") continue;
      const position = asPosition(line);
      if (position !== undefined) this.#positions.set(id, position);
      else if (line?.["gone"] === true) this.#positions.delete(id);
    }
  }

  #write(): void {
    if (this.#leftAlone || this.#unwritten.size === 0) return;
    this.#touch(this.#path);
    const isLong = this.#bytes > LEAST_PAST_BYTES + GROWTH * this.#bytesWithoutPast;
    if (this.#inode === undefined) this.#writeAll();
    else if (!isLong || !this.#shorten()) this.#append(this.#inode);
  }

  /** False where there is no room for a second file: the journal grows on. */
  #shorten(): boolean {
    try {
      this.#writeAll();
      return true;
    } catch {
      return false;
    }
  }

  #append(inode: number): void {
    let text = "";
    for (const id of this.#unwritten) text += lineOf(id, this.#positions.get(id));
    let fd: number;
    try {
      fd = openSync(this.#path, "r+");
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      // Somebody has removed it.
      this.#writeAll();
      return;
    }
    try {
      // Another file: that of the thread that has taken over from this one, which was given up.
      if (fstatSync(fd).ino === inode) this.#bytes += writeWhole(fd, text, this.#bytes);
    } catch (error) {
      // The part of it that was written before the disk was full.
      ftruncateSync(fd, this.#bytes);
      throw error;
    } finally {
      closeSync(fd);
    }
    this.#unwritten.clear();
  }

  #writeAll(): void {
    if (this.#leftAlone) return;
    let text = `${JSON.stringify({ v: FORM })}\n`;
    for (const [id, position] of this.#positions) text += lineOf(id, position);
    // Of this thread alone: one that was given up may still be at its own.
    const temporary = `${this.#path}.${String(process.pid)}-${String(threadId)}${HALF_SUFFIX}`;
    const fd = openSync(temporary, "w", 0o600);
    let bytes: number;
    try {
      fchmodSync(fd, 0o600);
      bytes = writeWhole(fd, text, 0);
      this.#touch(this.#path);
      renameSync(temporary, this.#path);
      this.#inode = fstatSync(fd).ino;
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
    this.#bytes = bytes;
    this.#bytesWithoutPast = bytes;
    this.#unwritten.clear();
    removePositionFiles(this.#folder);
  }

  /** Of processes and threads that ended while they wrote; one that hangs does not rename its own any more. */
  #removeHalves(): void {
    for (const name of readdirSync(this.#folder))
      if (name.startsWith(`${NAME}.`) && name.endsWith(HALF_SUFFIX))
        rmSync(join(this.#folder, name), { force: true });
  }

  /** Drops those of all containers for which it is false. */
  forgetAllBut(isKnown: (containerId: string) => boolean): void {
    try {
      this.batch(() => {
        for (const containerId of this.list()) if (!isKnown(containerId)) this.forget(containerId);
      });
    } catch (error) {
      this.#log.debug({ error: errorText(error) }, "positions of logs that are gone stay for now");
    }
  }
}

function checked(containerId: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(containerId))
    throw invalidArgument(`container id ${JSON.stringify(containerId.slice(0, 120))} is not one`);
  return containerId;
}

function lineOf(id: string, position: Position | undefined): string {
  return `${JSON.stringify(position === undefined ? { id, gone: true } : { id, ...position })}\n`;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** @returns bytes written */
function writeWhole(fd: number, text: string, at: number): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length;)
    done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  return bytes.length;
}
