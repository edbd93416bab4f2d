import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import { nativeProgram } from "../sys/native-program.ts";
import { runProcess } from "../sys/process.ts";

/** Where agents in pods look, as with containerd, CRI-O and `ip netns`. */
export const podNamespaceFolder = "/var/run/netns";
/** Of the names in that folder which are Dockline's; all others are left alone. */
const ownName = /^dockline-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const timeoutMs = 20_000;

/**
 * Network namespaces of pods, pinned by `dockline-oci`: a name in the file system cannot be made or taken away
 * from JavaScript. Each call is one short process.
 */
export class PodNamespaces {
  readonly #folder: string;
  readonly #program: () => string;

  /** @param program path of dockline-oci; default: the one that belongs to this program */
  constructor(folder = podNamespaceFolder, program = (): string => nativeProgram("oci")) {
    this.#folder = folder;
    this.#program = program;
  }

  /** A path that nothing has; nothing is made. */
  newPath(): string {
    return join(this.#folder, `dockline-${randomUUID()}`);
  }

  /** Makes the folder, shared, so that an agent's pod which mounts it now sees the namespaces of later pods. */
  async share(): Promise<void> {
    await this.#call(`--dockline-netns-share=${this.#folder}`);
  }

  /**
   * Makes the namespace, with `lo` up, and pins it at the path. With `mark`, `ipv6IsKept` can tell later
   * whether somebody has switched IPv6 off in it.
   *
   * @throws Error with the program's words
   */
  async make(path: string, { mark }: { mark: boolean }): Promise<void> {
    await this.#call(`--dockline-netns-${mark ? "mark" : "make"}=${path}`);
  }

  /** Of a namespace that was made with `mark`, which is taken off. */
  async ipv6IsKept(path: string): Promise<boolean> {
    return (await this.#call(`--dockline-netns-look=${path}`)).includes("true");
  }

  /** Takes the pin off; what is not there is a success. The namespace lives on while processes are in it. */
  async remove(path: string): Promise<void> {
    await this.#call(`--dockline-netns-remove=${path}`);
  }

  /** Paths of all that carry Dockline's name. */
  async list(): Promise<string[]> {
    try {
      const names = await readdir(this.#folder);
      return names.filter((name) => ownName.test(name)).map((name) => join(this.#folder, name));
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
      throw error;
    }
  }

  async #call(argument: string): Promise<string> {
    const { exitCode, stdout, stderr } = await runProcess(this.#program(), [argument], {
      timeoutMs,
      step: { kind: "process", name: "netns" },
    });
    if (exitCode === 0) return stdout;
    const words = stderr.trim().replace(/^dockline-oci: /, "");
    throw new Error(words === "" ? `dockline-oci ended with ${exitCode}` : words);
  }
}
