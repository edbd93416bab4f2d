import { readFileSync, statSync } from "node:fs";
import { errorText, invalidArgument } from "../../errors.ts";

/** Paths of PEM files. */
export interface MetricsTls {
  certFile: string;
  keyFile: string;
  /** Whose client certificates count. */
  clientCaFile: string;
}

/** The files behind a TLS server, which certificate managers replace while it runs. */
export class TlsFiles {
  readonly #files: MetricsTls;
  #known = "";

  constructor(files: MetricsTls) {
    this.#files = files;
  }

  /** @throws CriError InvalidArgument that names the file which cannot be read */
  read(): { cert: string; key: string; ca: string } {
    const { certFile, keyFile, clientCaFile } = this.#files;
    // Noted first: what is replaced while it is read is read again. A file that cannot be used is tried once.
    this.#known = this.#identity();
    return {
      cert: readNamed("certificate", certFile),
      key: readNamed("key", keyFile),
      ca: readNamed("client authority", clientCaFile),
    };
  }

  haveChanged(): boolean {
    return this.#identity() !== this.#known;
  }

  #identity(): string {
    return Object.values(this.#files as unknown as Record<string, string>)
      .map((path) => {
        const found = statSync(path, { throwIfNoEntry: false, bigint: true });
        return found === undefined
          ? ""
          : `${found.dev} ${found.ino} ${found.mtimeNs} ${found.size}`;
      })
      .join("\n");
  }
}

function readNamed(what: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw invalidArgument(`metrics ${what}: ${errorText(error)}`);
  }
  // Node takes an empty authority for none, and would then accept the clients of every public one.
  if (!text.includes("-----BEGIN ")) throw invalidArgument(`metrics ${what}: ${path} has no PEM`);
  return text;
}
