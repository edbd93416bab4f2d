import { createHash, randomBytes } from "node:crypto";
import { CriError } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";

/** What a streaming URL was issued for; the middle part of its path. */
export type StreamKind = "exec" | "attach" | "portforward";

export interface TokenStore<Grants extends Record<StreamKind, unknown>> {
  /** Throws ResourceExhausted when too many unused tokens are in flight. */
  issue<K extends StreamKind>(kind: K, grant: Grants[K]): string;
  /** The grant, once; a token offered for another kind is spent as well. */
  take<K extends StreamKind>(kind: K, token: string): Grants[K] | undefined;
  clear(): void;
}

/** 192 bits. */
const tokenBytes = 24;
const tokenLength = 32;

/**
 * One-time tokens (T4). Kept under their hash: a lookup by hash tells nothing about tokens by its
 * duration. All live equally long, so the oldest are first in the map and no timer is needed.
 */
export function createTokenStore<Grants extends Record<StreamKind, unknown>>(options: {
  clock: Pick<Clock, "monotonicMs">;
  lifetimeMs?: number;
  capacity?: number;
}): TokenStore<Grants> {
  const lifetimeMs = options.lifetimeMs ?? 60_000;
  const capacity = options.capacity ?? 1000;
  const entries = new Map<string, { kind: StreamKind; grant: unknown; issuedMs: number }>();

  const dropExpired = (): void => {
    const nowMs = options.clock.monotonicMs();
    for (const [key, entry] of entries) {
      if (nowMs - entry.issuedMs < lifetimeMs) break;
      entries.delete(key);
    }
  };

  return {
    issue(kind, grant) {
      dropExpired();
      if (entries.size >= capacity) {
        const message = `${kind}: ${capacity} streaming requests wait for their client already`;
        throw new CriError("ResourceExhausted", message);
      }
      const token = randomBytes(tokenBytes).toString("base64url");
      entries.set(keyOf(token), { kind, grant, issuedMs: options.clock.monotonicMs() });
      return token;
    },
    take(kind, token) {
      dropExpired();
      if (token.length !== tokenLength) return undefined;
      const key = keyOf(token);
      const entry = entries.get(key);
      entries.delete(key);
      return entry?.kind === kind ? entry.grant : undefined;
    },
    clear: () => entries.clear(),
  };
}

function keyOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
