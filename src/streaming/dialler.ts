import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import type { Logger } from "../log.ts";
import { startProcess } from "../sys/process.ts";
import { ResetAtOnce, connectLocalhost } from "./dialler-child.ts";
import type { DialAnswer, DialRequest } from "./dialler-child.ts";

/** The argument that turns the program into the helper. */
export const diallerArgument = "__port-forward-dialler";

export interface DiallerOptions {
  /** Path of the network namespace; undefined dials from the host's. */
  netns: string | undefined;
  /** Program and arguments of the helper. Default: this program again with `diallerArgument`. */
  helper?: readonly string[] | undefined;
  /** Default /usr/bin/nsenter. */
  nsenterPath?: string | undefined;
  log: Logger;
}

/** Connects into one pod's network namespace; belongs to one session. */
export interface Dialler {
  /**
   * A connected socket with half-close. Rejects with ResetAtOnce, or with an Error that says why for
   * each address.
   */
  readonly dial: (port: number) => Promise<Socket>;
  /** Ends the helper; sockets handed out live on. */
  close(): void;
}

const killAfterMs = 1_000;
/** Dials under way at once; a client that opens and resets streams cannot pile up more. */
const maxDials = 256;

export function createDialler(options: DiallerOptions): Dialler {
  if (options.netns === undefined) {
    return { dial: adopt(connectLocalhost), close: () => undefined };
  }
  return new NamespaceDialler(options, options.netns);
}

function adopt(dial: (port: number) => Promise<Socket>): (port: number) => Promise<Socket> {
  return async (port) => {
    const socket = await dial(port);
    socket.setNoDelay(true);
    return socket;
  };
}

interface Helper {
  child: ChildProcess;
  pending: Map<number, (answer: DialAnswer, socket: Socket | undefined) => void>;
}

class NamespaceDialler implements Dialler {
  readonly #options: DiallerOptions;
  readonly #netns: string;
  #helper: Helper | undefined;
  #nextId = 1;
  #closed = false;

  constructor(options: DiallerOptions, netns: string) {
    this.#options = options;
    this.#netns = netns;
    // Started before the first stream comes: it takes tens of milliseconds.
    this.#helper = this.#start();
  }

  readonly dial = async (port: number): Promise<Socket> => {
    // A helper that died under the request is replaced once: it may have been killed from outside.
    try {
      return await this.#dialOnce(port);
    } catch (error) {
      if (!(error instanceof HelperGone) || this.#closed) throw error;
      return this.#dialOnce(port);
    }
  };

  close(): void {
    this.#closed = true;
    const child = this.#helper?.child;
    this.#helper = undefined;
    if (child !== undefined) endHelper(child);
  }

  #dialOnce(port: number): Promise<Socket> {
    if (this.#closed) return Promise.reject(new Error("the session is over"));
    const helper = (this.#helper ??= this.#start());
    if (helper.pending.size >= maxDials) {
      return Promise.reject(new Error(`${maxDials} connections are being made already`));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      helper.pending.set(id, (answer, socket) => {
        if (answer.error === helperGone) reject(new HelperGone("the port-forward helper ended"));
        else if (answer.reset === true) reject(new ResetAtOnce());
        else if (answer.error !== undefined) reject(new Error(answer.error));
        else if (socket === undefined) reject(new Error("the connection was not handed over"));
        else resolve(socket);
      });
      helper.child.send({ id, port } satisfies DialRequest, (error) => {
        if (error === null) return;
        helper.pending.delete(id);
        // Its exit may not have been seen yet.
        if (this.#helper === helper) this.#helper = undefined;
        reject(new HelperGone(error.message, { cause: error }));
      });
    });
  }

  #start(): Helper {
    const { log } = this.#options;
    const nsenter = this.#options.nsenterPath ?? "/usr/bin/nsenter";
    const program = this.#options.helper ?? [
      process.execPath,
      process.argv[1] ?? "",
      diallerArgument,
    ];
    const child = startProcess(nsenter, [`--net=${this.#netns}`, "--", ...program], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const helper: Helper = { child, pending: new Map() };
    const onGone = (): void => {
      if (this.#helper === helper) this.#helper = undefined;
      const waiting = [...helper.pending];
      helper.pending.clear();
      for (const [id, settle] of waiting) settle({ id, error: helperGone }, undefined);
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
      const answer = message as DialAnswer;
      const socket = handle instanceof Socket ? handle : undefined;
      const settle = helper.pending.get(answer.id);
      helper.pending.delete(answer.id);
      if (socket !== undefined) {
        socket.on("error", () => undefined);
        // What comes over IPC is made without these.
        socket.allowHalfOpen = true;
        socket.setNoDelay(true);
      }
      if (settle === undefined) socket?.destroy();
      else settle(answer, socket);
    });
    return helper;
  }
}

const helperGone = "helper gone";

class HelperGone extends Error {}

function endHelper(child: ChildProcess): void {
  if (child.connected) child.disconnect();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  child.once("exit", () => clearTimeout(timer));
  child.once("error", () => clearTimeout(timer));
}
