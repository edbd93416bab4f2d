import { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import type Docker from "dockerode";
import type { EngineCall } from "./call.ts";
import type { RequestOptions } from "./engine.ts";
import { protocolError, toEngineError } from "./failures.ts";
import type { Transport } from "./transport.ts";

/** A call as the engine's methods write it: the budget is a default that the caller may replace. */
export interface Request extends Omit<EngineCall, "timeoutMs" | "signal"> {
  budgetMs: number | undefined;
  options: RequestOptions | undefined;
  /** The budget is what the caller asked of Docker (a grace period): no setting shortens it. */
  fixedBudget?: boolean;
}

/** Runs dockerode's methods under the budgets of this engine and checks the shape of what returns. */
export class Requests {
  readonly #transport: Transport;
  readonly #longestMs: number;

  constructor(transport: Transport, longestMs: number | undefined) {
    this.#transport = transport;
    this.#longestMs = longestMs ?? Number.POSITIVE_INFINITY;
  }

  /** Rejects with EngineError, whatever dockerode or `work` itself throws. */
  async run<T>(request: Request, work: (docker: Docker) => Promise<T>): Promise<T> {
    const { budgetMs, options, fixedBudget, ...call } = request;
    const limitMs = fixedBudget === true ? budgetMs : this.#limit(budgetMs);
    const timeoutMs = options?.timeoutMs ?? limitMs;
    try {
      return await work(this.#transport.docker({ ...call, timeoutMs, signal: options?.signal }));
    } catch (error) {
      throw toEngineError(error, request.operation);
    }
  }

  #limit(budgetMs: number | undefined): number | undefined {
    return budgetMs === undefined ? undefined : Math.min(budgetMs, this.#longestMs);
  }
}

/** The answer as an object that has at least the string `key`; dockerode promises any. */
export function objectWith<T>(operation: string, key: keyof T & string, answer: unknown): T {
  const field = (answer as Record<string, unknown> | null | undefined)?.[key];
  if (typeof field !== "string") throw protocolError(operation, `no ${key} in it`);
  return answer as T;
}

/** The answer as a list. */
export function listOf<T>(operation: string, answer: unknown): T[] {
  if (!Array.isArray(answer)) throw protocolError(operation, "not a list");
  return answer as T[];
}

/** The body of a streamed answer; dockerode's types know only the old stream interfaces. */
export function responseOf(operation: string, answer: unknown): IncomingMessage {
  if (!(answer instanceof IncomingMessage)) throw protocolError(operation, "not a stream");
  return answer;
}

export function hijackedOf(operation: string, answer: unknown): Duplex {
  if (!(answer instanceof Duplex)) throw protocolError(operation, "not a raw connection");
  return answer;
}
