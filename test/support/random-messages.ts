import { ScalarType } from "@bufbuild/protobuf";
import type { DescField, DescMessage } from "@bufbuild/protobuf";

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const strings = [
  "",
  "a",
  "main",
  "__proto__",
  "constructor",
  "../../etc/passwd",
  "/tmp/dockline-fuzz/x",
  "a b",
  "a\nb",
  "ä€😀",
  "\u0000",
  "k8s_POD_x_y_z_0",
  "0".repeat(64),
  "f".repeat(64),
  "-1",
  "1e3",
  "x".repeat(5000),
];
const integers = [0n, 1n, -1n, 2n, 1000n, 65536n, 2n ** 31n - 1n, -(2n ** 31n)];
const longs = [...integers, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];

/**
 * A valid message of a type with odd values. `ids` are mixed in among the strings, so that some calls
 * are about something that there is; the caller decides which fields must be left alone.
 */
export function randomMessage(
  type: DescMessage,
  random: () => number,
  ids: readonly string[],
  depth = 0,
): Record<string, unknown> {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const scalar = (kind: ScalarType): unknown => {
    switch (kind) {
      case ScalarType.STRING:
        return random() < 0.4 && ids.length > 0 ? pick(ids) : pick(strings);
      case ScalarType.BOOL:
        return random() < 0.5;
      case ScalarType.BYTES:
        return Buffer.from(pick(strings));
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        return pick([0, -1.5, Number.NaN, Number.POSITIVE_INFINITY]);
      case ScalarType.UINT32:
      case ScalarType.FIXED32:
        return pick([0, 1, 4294967295]);
      case ScalarType.UINT64:
      case ScalarType.FIXED64:
        return pick([0n, 1n, 2n ** 64n - 1n]);
      case ScalarType.INT64:
      case ScalarType.SINT64:
      case ScalarType.SFIXED64:
        return pick(longs);
      default:
        return Number(pick(integers));
    }
  };
  const single = (field: DescField): unknown => {
    if (field.fieldKind === "message" || field.message !== undefined) {
      return randomMessage(field.message, random, ids, depth + 1);
    }
    // Numbers that the enumeration does not have are valid on the wire.
    if (field.enum !== undefined) return pick([0, 1, 2, 3, 99]);
    return scalar(field.scalar);
  };
  const message: Record<string, unknown> = {};
  for (const field of type.fields) {
    if (random() < (depth === 0 ? 0.15 : 0.5) || depth > 6) continue;
    const count = Math.floor(random() * 3);
    if (field.fieldKind === "list") {
      message[field.localName] = Array.from({ length: count }, () => single(field));
    } else if (field.fieldKind === "map") {
      const entries = Array.from({ length: count }, () => [pick(strings), single(field)] as const);
      const map = Object.create(null) as Record<string, unknown>;
      for (const [key, value] of entries) if (key !== "__proto__") map[key] = value;
      message[field.localName] = map;
    } else if (field.oneof === undefined) {
      message[field.localName] = single(field);
    }
  }
  return message;
}
