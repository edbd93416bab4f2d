import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { readTextIfExists, removeUnfinished, writeFileAtomic } from "../sys/fs.ts";
import { NewerFile, refuseNewer } from "./newer-file.ts";

interface Stored {
  v: 1;
  /** As UpdateRuntimeConfig had it, "a,b" for dual stack. */
  podCidr: string;
  /** `--pod-cidr` at that time: one that has changed since is the operator's later word. */
  option: string;
}

/** Far more than two ranges need. */
const maxLength = 4096;
const fileName = "pod-cidr.json";

/**
 * The node's pod CIDR as the kubelet last sent it, which it does once in its own life: without the file
 * a restart of Dockline would lose it until the kubelet is restarted too.
 */
export class PodCidrFile {
  readonly #path: string;
  readonly #option: string;
  #current: string;
  #saving: Promise<void> = Promise.resolve();
  #leftAlone = false;

  private constructor(path: string, option: string) {
    this.#path = path;
    this.#option = option;
    this.#current = option;
  }

  /**
   * Reads the file. One that is damaged or cannot be read is logged and counts as none: the kubelet's
   * next word, or `option`, is as good. A newer version's is not written over.
   *
   * @param option `--pod-cidr`, the value before the kubelet has said anything; "" for none
   * @param check throws for a text that is no pod CIDR
   */
  static async open(
    stateDir: string,
    option: string,
    check: (podCidr: string) => void,
    log: Logger,
  ): Promise<PodCidrFile> {
    const path = join(stateDir, fileName);
    const file = new PodCidrFile(path, option);
    try {
      await removeUnfinished(path);
      const text = await readTextIfExists(path);
      if (text !== undefined) {
        const stored = parse(text);
        check(stored.podCidr);
        if (stored.option === option) file.#current = stored.podCidr;
      }
    } catch (error) {
      file.#leftAlone = error instanceof NewerFile;
      log.warn({ path, error: errorText(error) }, "the saved pod CIDR cannot be used");
    }
    return file;
  }

  /** What is in force; "" while nobody has said anything. */
  get current(): string {
    return this.#current;
  }

  /** Resolves when the next start will know it (not where the file is a newer version's); rejects with the file system's error. */
  async save(podCidr: string): Promise<void> {
    const stored: Stored = { v: 1, podCidr, option: this.#option };
    const write = this.#saving.then(async () => {
      if (podCidr === this.#current) return;
      if (!this.#leftAlone) await writeFileAtomic(this.#path, JSON.stringify(stored));
      this.#current = podCidr;
    });
    // One at a time, so that the last one asked for is the one that stays.
    this.#saving = write.catch(() => undefined);
    await write;
  }
}

function parse(text: string): Stored {
  if (text.length > maxLength) throw new Error("it is too long");
  const value: unknown = JSON.parse(text);
  const { v, podCidr, option } = (value ?? {}) as Partial<Record<keyof Stored, unknown>>;
  refuseNewer(v, 1);
  if (v !== 1 || typeof podCidr !== "string" || podCidr === "" || typeof option !== "string") {
    throw new Error("it is not of the form that this version writes");
  }
  return { v, podCidr, option };
}
