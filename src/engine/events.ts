import type { EngineEvent } from "./types.ts";

/** An event carries its object's labels; the kubelet's annotations among them reach 256 KiB. */
export const maxEventBytes = 4 << 20;

/**
 * Reads one line of GET /events; undefined for one that is not an event. `timeNano` is taken from
 * the text, because as a double it would be off by up to 256 ns and events would change their order.
 */
export function parseEvent(line: string): EngineEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { Type, Action, Actor } = value as {
    Type?: unknown;
    Action?: unknown;
    Actor?: { ID?: unknown; Attributes?: unknown } | null;
  };
  if (typeof Type !== "string" || typeof Action !== "string") return undefined;
  if (typeof Actor?.ID !== "string") return undefined;
  const timeNano = exactTime(line);
  if (timeNano === undefined) return undefined;
  return { Type, Action, Actor: { ID: Actor.ID, Attributes: strings(Actor.Attributes) }, timeNano };
}

/**
 * Inside a JSON string the quote before the colon is escaped, and attributes are always strings, so
 * nothing but the field itself looks like this.
 */
function exactTime(line: string): bigint | undefined {
  const match = /"timeNano"\s{0,8}:\s{0,8}(\d{1,20})/.exec(line);
  return match?.[1] === undefined ? undefined : BigInt(match[1]);
}

function strings(value: unknown): Record<string, string> {
  // A null prototype: a label may be called __proto__.
  const found = Object.create(null) as Record<string, string>;
  if (typeof value !== "object" || value === null) return found;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text === "string") found[key] = text;
  }
  return found;
}
