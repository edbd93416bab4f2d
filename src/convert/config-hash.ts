import { createHash } from "node:crypto";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

/**
 * A stable fingerprint of a request, to tell its retry from another request for the same name:
 * equal messages hash equally whatever the order of their map entries. `extra` is what belongs to
 * the request beside the message (runtime handler, image).
 */
export function configHash<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  ...extra: string[]
): string {
  const text = JSON.stringify([schema.typeName, canonical(message), extra]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** Objects become sorted entry lists, so that neither key order nor a key's name matters. */
function canonical(value: unknown): unknown {
  if (typeof value === "bigint") return ["int", String(value)];
  if (value instanceof Uint8Array) return ["bytes", Buffer.from(value).toString("base64")];
  if (Array.isArray(value)) return ["list", value.map(canonical)];
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .filter(([key, member]) => key !== "$typeName" && member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => [key, canonical(member)]);
  }
  return value;
}
