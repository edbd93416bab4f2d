import type { Duplex } from "node:stream";
import { commandFault, interpreterFault } from "../engine/command-fault.ts";
import type { CommandFault } from "../engine/command-fault.ts";

/** Docker did not start an exec. */
export interface ExecRefusal {
  /** Docker's own words, without the end of the line. */
  text: string;
  /** Set where the command is to blame, and not the node. */
  fault: CommandFault | undefined;
}

export function refusalOf(text: string): ExecRefusal {
  return { text: text.trimEnd(), fault: commandFault(text) };
}

const frameHeaderBytes = 8;
const stdoutFrame = 1;
const maxReasonBytes = 16 << 10;

/**
 * Docker puts the reason why it cannot start an exec in the place of the output, on stdout: one write
 * that ends with \r\n. Such bytes can be a program's own, so `isRefused` is asked about them; it is
 * not for other output, which costs nothing. Undefined, and the stream as it was, when the command
 * runs, has ended or the stream has closed. Never rejects.
 */
export async function refusedStart(
  stream: Duplex,
  tty: boolean,
  isRefused: () => Promise<boolean>,
): Promise<ExecRefusal | undefined> {
  const first = await firstBytes(stream);
  const text = first === undefined ? undefined : reasonIn(first, tty);
  return text === undefined || !(await isRefused()) ? undefined : refusalOf(text);
}

/** They stay in the stream. */
function firstBytes(stream: Duplex): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const events = ["readable", "end", "close", "error"] as const;
    const look = (): void => {
      const bytes = stream.destroyed ? null : (stream.read() as Buffer | null);
      // Node tells of a readable stream once too often.
      if (bytes === null && !stream.destroyed && !stream.readableEnded) return;
      for (const event of events) stream.off(event, look);
      // Back at once: when these bytes are the last ones, the stream ends with the next tick.
      if (bytes !== null) stream.unshift(bytes);
      resolve(bytes ?? undefined);
    };
    for (const event of events) stream.on(event, look);
  });
}

/** What may be Docker's reason: the whole of the first bytes, for there is never more. */
function reasonIn(bytes: Buffer, tty: boolean): string | undefined {
  if (bytes.length > maxReasonBytes || !bytes.subarray(-2).equals(Buffer.from("\r\n"))) {
    return undefined;
  }
  if (tty) {
    // Every line of a terminal ends like this.
    const text = bytes.toString("utf8");
    return /^OCI runtime /.test(text) || commandFault(text) !== undefined ? text : undefined;
  }
  if (bytes.length <= frameHeaderBytes || bytes[0] !== stdoutFrame) return undefined;
  const whole = bytes.readUInt32BE(4) === bytes.length - frameHeaderBytes;
  return whole ? bytes.toString("utf8", frameHeaderBytes) : undefined;
}

const maxLineBytes = 8 << 10;

/**
 * Notes what a command says as long as it may be runc's own line, with which runc ends when it could
 * not become the command for lack of an interpreter or a known format. The client has that line
 * already, so only the exit code is left to put right.
 */
export class OnlyLine {
  readonly #command: string;
  readonly #stream: "stdout" | "stderr";
  #said: Buffer[] | undefined = [];
  #bytes = 0;

  constructor(command: string, tty: boolean) {
    this.#command = command;
    this.#stream = tty ? "stdout" : "stderr";
  }

  note(stream: string, bytes: Buffer): void {
    if (this.#said === undefined) return;
    this.#bytes += bytes.length;
    if (stream !== this.#stream || this.#bytes > maxLineBytes) this.#said = undefined;
    else this.#said.push(Buffer.from(bytes));
  }

  /** As a shell would have ended, where the command could not be run. */
  exitCode(exitCode: number): number {
    if (this.#said === undefined) return exitCode;
    // A terminal ends lines in its own way.
    const stderr = Buffer.from(Buffer.concat(this.#said).toString("utf8").replace("\r\n", "\n"));
    const ended = { exitCode, stdout: Buffer.alloc(0), stderr };
    return interpreterFault(this.#command, ended)?.exitCode ?? exitCode;
  }
}
