/**
 * Docker drops the keys of the detach sequence from a terminal's input, by default ctrl-p ctrl-q, and
 * holds back what may be the beginning of it until the next key. There is no way to switch that off.
 *
 * For an attach the sequence travels in the URL: a byte that no UTF-8 text has, so that no key matches.
 */
export const neverTyped: Uint8Array = Buffer.from(Array(8).fill("\xff").join(","), "latin1");

const codes: readonly number[] = [
  ...[0x1e, 0x1f, 0x1d, 0x1e, 0x00, 0x1e, 0x1f, 0x00],
  ...[0x1d, 0x1d, 0x1e, 0x1f, 0x1f, 0x00, 0x1d, 0x1e],
];

/**
 * The same for an exec, whose JSON cannot carry that byte: a sequence that nobody types, of keys that
 * hardly anything uses. `copyKeys` sees to it that they are not held back.
 */
export const execDetachKeys = codes
  .map((code) => `ctrl-${String.fromCharCode(code + 0x40)}`)
  .join(",");

/** How many bytes at the end of this input Docker would hold back, with nothing held before it. */
export function heldBack(input: Uint8Array): number {
  let matched = 0;
  // As Docker does it: a byte that does not go on with the sequence is not tried as its beginning.
  for (const byte of input) matched = byte === codes[matched] ? matched + 1 : 0;
  return matched;
}
