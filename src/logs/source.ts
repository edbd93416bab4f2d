import { closeSync, fstatSync, readSync } from "node:fs";
import { sleepInPlace } from "../sys/sleep-in-place.ts";
import type { SourcePosition } from "./position.ts";
import {
  closeAll,
  isAt,
  leastRotated,
  openSource,
  statIfExists,
  type SourceFile,
} from "./source-file.ts";

/** Bytes before the offset that are kept to recognise a file: they hold the last entry's time. */
const MARK_BYTES = 64;
/** `max-file` that is still looked through; Docker sets no limit of its own. */
const MOST_NAMES = 1000;
/** Tries to see the names between two rotations, and the wait between them. */
const SCAN_TRIES = 5;
const SCAN_PAUSE_MS = 2;

/**
 * The files `path`, `path.1`, `path.2`, … in the order they were written: the one being read first,
 * the one that Docker writes last. Docker rotates by renaming from the highest number down and then
 * makes a new file at `path`, so a file whose inode is no longer the path's is complete.
 */
export class SourceChain {
  readonly #path: string;
  readonly #mostUnlinkedBytes: number;
  #files: SourceFile[] = [];
  /** Position to find again as soon as there are files. */
  #wanted: SourcePosition | null;
  #isLost = false;

  constructor(path: string, wanted: SourcePosition | null, mostUnlinkedBytes: number) {
    this.#path = path;
    this.#wanted = wanted;
    this.#mostUnlinkedBytes = mostUnlinkedBytes;
  }

  /** True when a newer file follows the one being read, which then grows no more. */
  get headIsComplete(): boolean {
    return this.#files.length > 1;
  }

  get hasFiles(): boolean {
    return this.#files.length > 0;
  }

  /** The wanted position is in none of Docker's files: what comes next is the oldest that there is. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Bytes known to be unread. */
  get bytesBehind(): number {
    return this.#files.reduce((sum, file) => sum + Math.max(0, file.size - file.offset), 0);
  }

  /** Bytes at least that are missing before the next one read; undefined when none are. */
  get missing(): number | undefined {
    return this.#files[0]?.missing;
  }

  /** The loss is reported in the log. */
  missingTold(): void {
    const head = this.#files[0];
    if (head !== undefined) head.missing = undefined;
  }

  /** Where the next byte is read; with `count`, where that is once so much of what `read` gave is dealt with. */
  position(count = 0, given: Buffer = Buffer.alloc(0)): SourcePosition | null {
    const head = this.#files[0];
    if (head === undefined) return this.#wanted;
    const { ino, bornNs, size, missing } = head;
    const offset = head.offset + count;
    const mark = count === 0 ? head.mark : markOf(given, count);
    return {
      ino: String(ino),
      ...(bornNs === 0n ? {} : { born: String(bornNs) }),
      offset,
      size: Math.max(size, offset),
      mark: mark.toString("base64"),
      ...(missing === undefined ? {} : { missing }),
    };
  }

  /**
   * Goes on at a position in the files that are held: none of them can have been rotated away since it was
   * found. Where it is in none of them, at the oldest, with what is missing.
   */
  goTo(position: SourcePosition | null): void {
    this.#wanted = position;
    this.#goToWanted();
    this.#isLost = false;
  }

  /** The loss is dealt with. */
  lossSeen(): void {
    this.#isLost = false;
  }

  /** Takes hold of files that Docker made since, before each round; true when there were any. */
  discover(): boolean {
    const found = statIfExists(this.#path);
    const last = this.#files.at(-1);
    if (last !== undefined && (found === undefined || found.ino === last.ino)) {
      if (found !== undefined) this.#sized(last, Number(found.size));
      return false;
    }
    const { files, joined } = this.#openNewer(last?.ino);
    if (last === undefined) {
      this.#files = files;
      try {
        this.#goToWanted();
      } catch (error) {
        // Held without a position they would be read from their beginning.
        this.#files = [];
        closeAll(files);
        throw error;
      }
      return false;
    }
    const first = files[0];
    // Rotated so often since the last look that the file held open lost its last name: how many
    // came and went after it nothing tells, one at least of the size that the others have.
    if (!joined && first !== undefined) first.missing = leastRotated(files);
    this.#files.push(...files);
    this.#dropUnlinked();
    return files.length > 0;
  }

  /** Reads on from where `advance` left off; 0 at the end for now. */
  read(into: Buffer): number {
    const head = this.#files[0];
    if (head === undefined) return 0;
    const bytesRead = readSync(head.fd, into, 0, into.length, head.offset);
    head.size = Math.max(head.size, head.offset + bytesRead);
    return bytesRead;
  }

  /** The first `count` bytes of what `read` gave are dealt with. */
  advance(count: number, given: Buffer): void {
    const head = this.#files[0];
    if (head === undefined || count === 0) return;
    head.offset += count;
    head.mark = markOf(given, count);
  }

  /** Done with the file being read; the next one takes its place. */
  shift(): void {
    if (this.headIsComplete) closeAll(this.#files.splice(0, 1));
  }

  close(): void {
    this.#wanted = this.position();
    const files = this.#files;
    this.#files = [];
    closeAll(files);
  }

  #sized(file: SourceFile, size: number): void {
    if (size < file.offset) {
      // Emptied in place, which engines before 21 do with a `max-file` of 1.
      if (file.size > file.offset) file.missing = file.size - file.offset;
      file.offset = 0;
      file.mark = Buffer.alloc(0);
    }
    file.size = size;
  }

  /**
   * Opens what is newer than inode `until`, oldest first; `joined` tells whether that one was met.
   * Names move up while this looks, so it looks again until the newest file stayed the same and
   * nothing is missing between.
   */
  #openNewer(until: bigint | undefined): { files: SourceFile[]; joined: boolean } {
    for (let tries = 1; ; tries += 1) {
      const files: SourceFile[] = [];
      let joined = false;
      try {
        let holes = 0;
        for (let index = 0; index < MOST_NAMES && holes < 2 && !joined; index += 1) {
          const file = openSource(index === 0 ? this.#path : `${this.#path}.${String(index)}`);
          if (file === undefined) {
            holes += 1;
            continue;
          }
          joined = file.ino === until;
          if (joined || files.some((other) => other.ino === file.ino)) closeSync(file.fd);
          else files.unshift(file);
        }
        const newest = files.at(-1);
        const still = statIfExists(this.#path)?.ino === newest?.ino;
        if ((still && (joined || until === undefined)) || tries === SCAN_TRIES)
          return { files, joined };
      } catch (error) {
        closeAll(files);
        throw error;
      }
      closeAll(files);
      sleepInPlace(SCAN_PAUSE_MS);
    }
  }

  /** Of all files, those from the wanted position on are kept; the rest is closed. */
  #goToWanted(): void {
    const wanted = this.#wanted;
    const first = this.#files[0];
    if (wanted === null || first === undefined) return;
    let index = 0;
    for (const file of this.#files) {
      if (isAt(file, wanted)) break;
      index += 1;
    }
    const head = this.#files[index];
    this.#isLost = head === undefined;
    if (head === undefined) {
      first.missing =
        Math.max(wanted.size, leastRotated(this.#files)) - wanted.offset + (wanted.missing ?? 0);
      return;
    }
    head.offset = wanted.offset;
    head.mark = Buffer.from(wanted.mark, "base64");
    head.missing = wanted.missing;
    closeAll(this.#files.splice(0, index));
  }

  /**
   * Files that Docker deleted while they were held open still fill the disk. Past the limit the
   * oldest are let go, as Docker meant to.
   */
  #dropUnlinked(): void {
    let unlinkedBytes = 0;
    let keep = this.#files.length - 1;
    for (let index = keep - 1; index >= 0; index -= 1) {
      const file = this.#files[index];
      if (file === undefined) continue;
      const { nlink, size } = fstatSync(file.fd);
      file.size = size;
      if (nlink === 0) unlinkedBytes += size;
      if (unlinkedBytes > this.#mostUnlinkedBytes) break;
      keep = index;
    }
    if (keep <= 0) return;
    const dropped = this.#files.splice(0, keep);
    const lost = dropped.reduce(
      (sum, file) => sum + Math.max(0, file.size - file.offset) + (file.missing ?? 0),
      0,
    );
    const head = this.#files[0];
    if (head !== undefined && lost > 0) head.missing = (head.missing ?? 0) + lost;
    closeAll(dropped);
  }
}

function markOf(given: Buffer, count: number): Buffer {
  return Buffer.from(given.subarray(Math.max(0, count - MARK_BYTES), count));
}
