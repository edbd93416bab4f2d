import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { readTextIfExists, removeUnfinished, writeFileAtomic } from "../sys/fs.ts";
import { NewerFile, refuseNewer } from "./newer-file.ts";

/** What a kubelet asks for at its start and ends without. */
export interface EngineWords {
  /** "29.1.0" */
  readonly version: string;
  /** "1.52" */
  readonly apiVersion: string;
  /** "systemd", "cgroupfs" or "none". */
  readonly cgroupDriver: string;
}

const fileName = "engine.json";
/** Distributions add to the version; more than this is no version. */
const pattern = /^[\w.+~:-]{1,100}$/;

/** What the engine said of itself at the last contact, kept over restarts, for a kubelet that starts before Docker. */
export class KeptEngine {
  readonly #path: string;
  readonly #log: Logger;
  #current: EngineWords | undefined;
  #leftAlone = false;

  private constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** A file that is damaged or cannot be read is logged and counts as none; a newer version's is not written over. */
  static async open(stateDir: string, log: Logger): Promise<KeptEngine> {
    const path = join(stateDir, fileName);
    const kept = new KeptEngine(path, log);
    try {
      await removeUnfinished(path);
      const text = await readTextIfExists(path);
      if (text !== undefined) kept.#current = parse(text);
    } catch (error) {
      kept.#leftAlone = error instanceof NewerFile;
      log.warn(
        { path, error: errorText(error) },
        "the saved description of the engine cannot be used",
      );
    }
    return kept;
  }

  /** Of the last contact, by this process or an earlier one; undefined when there never was any. */
  get current(): EngineWords | undefined {
    return this.#current;
  }

  /** Never rejects: the next contact is as good. */
  async keep({ version, apiVersion, cgroupDriver }: EngineWords): Promise<void> {
    const words = { version, apiVersion, cgroupDriver };
    if (JSON.stringify(words) === JSON.stringify(this.#current)) return;
    this.#current = words;
    if (this.#leftAlone) return;
    try {
      await writeFileAtomic(this.#path, JSON.stringify({ v: 1, ...words }));
    } catch (error) {
      this.#log.warn(
        { path: this.#path, error: errorText(error) },
        "the description of the engine could not be saved",
      );
    }
  }
}

function parse(text: string): EngineWords {
  const { v, version, apiVersion, cgroupDriver } = JSON.parse(text) as Record<string, unknown>;
  refuseNewer(v, 1);
  if (v !== 1 || [version, apiVersion, cgroupDriver].some((word) => typeof word !== "string")) {
    throw new Error("it is not of a known form");
  }
  const words = { version, apiVersion, cgroupDriver } as EngineWords;
  if (!pattern.test(words.version) || !/^1\.\d{1,3}$/.test(words.apiVersion)) {
    throw new Error("it holds no version");
  }
  return words;
}
