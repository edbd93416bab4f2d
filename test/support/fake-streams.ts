import { Duplex, Readable } from "node:stream";

/** The client's end of a hijacked connection, and the process's end as functions. */
export class FakeHijack {
  readonly client: Duplex;
  readonly #tty: boolean;
  readonly stdin = new Readable({ read: () => undefined });

  constructor(tty: boolean) {
    this.#tty = tty;
    this.client = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        this.stdin.push(chunk);
        done();
      },
      final: (done) => {
        this.stdin.push(null);
        done();
      },
      destroy: (error, done) => {
        this.stdin.destroy();
        done(error);
      },
    });
    this.client.on("error", () => undefined);
    this.stdin.on("error", () => undefined);
  }

  output(stream: "stdout" | "stderr", data: string | Buffer): void {
    if (this.client.destroyed) return;
    const bytes = Buffer.from(data);
    this.client.push(this.#tty ? bytes : frame(stream === "stdout" ? 1 : 2, bytes));
  }

  /** The process is gone: the engine closes its side. */
  end(): void {
    if (!this.client.destroyed) this.client.push(null);
  }

  /** The connection breaks. */
  cut(): void {
    this.client.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
  }
}

/** One of Docker's output frames. */
export function frame(stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}
