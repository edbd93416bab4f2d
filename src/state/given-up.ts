import { createHash } from "node:crypto";
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ensurePrivateFolder, isErrno, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";

/** A CNI DEL that was given up: what it would have freed may still be held. */
export interface GivenUp {
  containerId: string;
  /** "namespace/name", as the arguments of ADD had it. */
  pod: string;
  network: string;
  plugin: string;
  /** Addresses of the pod that the plugin may still count as used; none when ADD told of none. */
  addresses: readonly string[];
  reason: string;
}

export interface GivenUpNote extends GivenUp {
  /** ISO 8601. */
  at: string;
}

/** A node whose network is broken for days must not fill the folder. */
const mostNotes = 200;

/**
 * What was given up, one small file for each under `<state dir>/given-up`, for people: nothing is done
 * with them but shown by the doctor. Whoever has looked after the addresses removes the file.
 */
export class GivenUpNotes {
  readonly #folder: string;
  readonly #log: Logger;
  #count = 0;

  constructor(stateDir: string, log: Logger) {
    this.#folder = join(stateDir, "given-up");
    this.#log = log;
  }

  /** Since the start of this process. */
  get count(): number {
    return this.#count;
  }

  /** Never rejects: a note that cannot be written must not hold the pod up, and the log has it too. */
  async add(given: GivenUp): Promise<void> {
    this.#count += 1;
    try {
      await ensurePrivateFolder(this.#folder);
      const note: GivenUpNote = { at: new Date().toISOString(), ...given };
      await writeFileAtomic(join(this.#folder, fileOf(given)), JSON.stringify(note));
      await this.#dropOldest();
    } catch (error) {
      this.#log.warn({ error: errorText(error) }, "a note of a given-up address was not written");
    }
  }

  async #dropOldest(): Promise<void> {
    const files = await notesIn(this.#folder);
    if (files.length <= mostNotes) return;
    const dated = await Promise.all(
      files.map(async (file) => ({ file, ms: (await stat(join(this.#folder, file))).mtimeMs })),
    );
    dated.sort((a, b) => a.ms - b.ms);
    for (const { file } of dated.slice(0, files.length - mostNotes)) {
      await unlinkIfExists(join(this.#folder, file));
    }
  }
}

/** The notes with their files, oldest first; none where there is no folder. What is no note is passed over. */
export async function readGivenUp(
  stateDir: string,
): Promise<readonly (GivenUpNote & { path: string })[]> {
  const folder = join(stateDir, "given-up");
  const notes: (GivenUpNote & { path: string })[] = [];
  for (const file of await notesIn(folder)) {
    const path = join(folder, file);
    try {
      const note = JSON.parse(await readFile(path, "utf8")) as Partial<GivenUpNote> | null;
      if (note === null || typeof note.pod !== "string" || typeof note.at !== "string") continue;
      if (!Array.isArray(note.addresses)) continue;
      notes.push({ ...(note as GivenUpNote), path });
    } catch (error) {
      if (!(error instanceof SyntaxError) && !isErrno(error, "ENOENT")) throw error;
    }
  }
  return notes.sort((a, b) => a.at.localeCompare(b.at));
}

async function notesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((file) => file.endsWith(".json"));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** One for each pod and plugin: a DEL that is given up twice is noted once. */
function fileOf({ containerId, plugin }: GivenUp): string {
  const hash = createHash("sha256").update(`${containerId} ${plugin}`).digest("hex");
  return `${hash.slice(0, 32)}.json`;
}
