import type { ChildProcess } from "node:child_process";
import { statSync } from "node:fs";
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import type { Logger } from "../log.ts";
import { nativeProgram } from "../sys/native-program.ts";
import { startProcess } from "../sys/process.ts";
import { connectLocalhost, dialFailure } from "./local-dial.ts";

export interface DiallerOptions {
  /** Path of the network namespace; undefined dials from the host's. */
  netns: string | undefined;
  /** Path of dockline-dial. Default: the one that belongs to this program. */
  program?: string | undefined;
  log: Logger;
}

/** Connects into one pod's network namespace; belongs to one session. */
export interface Dialler {
  /**
   * A connected socket with half-close. Rejects with ResetAtOnce, with an Error that says why for each
   * address, or with the signal's reason: an aborted dial ends at once, in the helper too.
   */
  readonly dial: (port: number, signal: AbortSignal) => Promise<Socket>;
  /** Ends the helper; sockets handed out live on. */
  close(): void;
}

const killAfterMs = 1_000;

export function createDialler(options: DiallerOptions): Dialler {
  if (options.netns === undefined) {
    return {
      async dial(port, signal) {
        const socket = await connectLocalhost(port, signal);
        socket.setNoDelay(true);
        return socket;
      },
      close: () => undefined,
    };
  }
  return new NamespaceDialler(options, options.netns);
}

/** What the helper says; see deploy/dial/dial.c. The connected socket comes beside it. */
interface DialAnswer {
  id: number;
  /** The system's number for what went wrong at each address. */
  errnos?: number[];
}

interface PendingDial {
  resolve(socket: Socket): void;
  reject(error: Error): void;
}

interface Helper {
  child: ChildProcess;
  pending: Map<number, PendingDial>;
}

class NamespaceDialler implements Dialler {
  readonly #options: DiallerOptions;
  readonly #netns: string;
  readonly #namespace: string | undefined;
  #helper: Helper | undefined;
  #nextId = 1;
  #closed = false;

  constructor(options: DiallerOptions, netns: string) {
    this.#options = options;
    this.#netns = netns;
    this.#namespace = identityOf(netns);
    // At once, while the path is known to be this pod's.
    this.#helper = this.#start();
  }

  readonly dial = async (port: number, signal: AbortSignal): Promise<Socket> => {
    // A helper that died under the request is replaced once: it may have been killed from outside.
    try {
      return await this.#dialOnce(port, signal);
    } catch (error) {
      if (!(error instanceof HelperGone) || this.#closed) throw error;
      return this.#dialOnce(port, signal);
    }
  };

  close(): void {
    this.#closed = true;
    const child = this.#helper?.child;
    this.#helper = undefined;
    if (child !== undefined) endHelper(child);
  }

  #dialOnce(port: number, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    if (this.#closed) return Promise.reject(new Error("the session is over"));
    const helper = (this.#helper ??= this.#startAgain());
    const id = this.#nextId++;
    const { child, pending } = helper;
    return new Promise<Socket>((resolve, reject) => {
      const onAbort = (): void => {
        pending.delete(id);
        reject(signal.reason as Error);
        // A connection that is on its way already is closed when it comes.
        if (child.connected) child.send({ id, port: 0 }, () => undefined);
      };
      const settled = (): void => signal.removeEventListener("abort", onAbort);
      signal.addEventListener("abort", onAbort, { once: true });
      pending.set(id, {
        resolve: (socket) => {
          settled();
          resolve(socket);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      child.send({ id, port }, (error) => {
        if (error === null) return;
        // Its exit may not have been seen yet.
        if (this.#helper === helper) this.#helper = undefined;
        const dial = pending.get(id);
        pending.delete(id);
        dial?.reject(new HelperGone(error.message, { cause: error }));
      });
    });
  }

  /** The path may be another process's by now. */
  #startAgain(): Helper {
    if (identityOf(this.#netns) === this.#namespace) return this.#start();
    throw new Error("the pod's network namespace is gone");
  }

  #start(): Helper {
    const { log } = this.#options;
    const program = this.#options.program ?? nativeProgram("dial");
    const child = startProcess(program, [this.#netns], {
      env: {},
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const helper: Helper = { child, pending: new Map() };
    const onGone = (): void => {
      if (this.#helper === helper) this.#helper = undefined;
      const waiting = [...helper.pending.values()];
      helper.pending.clear();
      for (const dial of waiting) dial.reject(new HelperGone("the port-forward helper ended"));
    };
    child.on("error", (err) => {
      log.error({ err }, "port-forward helper could not be started");
      onGone();
    });
    child.on("exit", (code, signal) => {
      if (!this.#closed) log.warn({ code, signal }, "port-forward helper ended");
      onGone();
    });
    child.on("disconnect", onGone);
    child.on("message", (message, handle) => {
      const { id, errnos } = message as DialAnswer;
      const dial = helper.pending.get(id);
      helper.pending.delete(id);
      if (!(handle instanceof Socket)) {
        dial?.reject(dialFailure((errnos ?? []).map((errno) => getSystemErrorName(-errno))));
        return;
      }
      handle.on("error", () => undefined);
      // What comes over IPC is made without these.
      handle.allowHalfOpen = true;
      handle.setNoDelay(true);
      if (dial === undefined) handle.destroy();
      else dial.resolve(handle);
    });
    return helper;
  }
}

function identityOf(netns: string): string | undefined {
  const found = statSync(netns, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

class HelperGone extends Error {}

function endHelper(child: ChildProcess): void {
  if (child.connected) child.disconnect();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  child.once("exit", () => clearTimeout(timer));
  child.once("error", () => clearTimeout(timer));
}
