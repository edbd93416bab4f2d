/**
 * List answers made of pieces that were encoded before. A repeated message field is, on the wire,
 * nothing but one tag, length and body after another, so lists are joined without being encoded.
 */

/** Keeps one encoded message for each entry; entries are immutable, a new one is encoded again. */
export class FragmentCache<Entry extends object> {
  readonly #fragments = new WeakMap<Entry, Uint8Array>();
  /** Whole lists, by the index's own arrays: a list that did not change is not joined again. */
  readonly #lists = new WeakMap<readonly Entry[], Uint8Array>();
  readonly #fieldNumber: number;
  readonly #encode: (entry: Entry) => Uint8Array;
  /**
   * @param fieldNumber of the repeated field in the list message
   * @param encode gives the bytes of the entry's message; may depend on nothing but the entry
   */
  constructor(fieldNumber: number, encode: (entry: Entry) => Uint8Array) {
    this.#fieldNumber = fieldNumber;
    this.#encode = encode;
  }

  /** The entry as one element of the list: tag, length and body. */
  of(entry: Entry): Uint8Array {
    let fragment = this.#fragments.get(entry);
    if (fragment === undefined) {
      fragment = framed(this.#fieldNumber, this.#encode(entry));
      this.#fragments.set(entry, fragment);
    }
    return fragment;
  }

  /** The whole list message. The array must not be changed afterwards. */
  list(entries: readonly Entry[]): Uint8Array {
    let joined = this.#lists.get(entries);
    if (joined === undefined) {
      joined = join(entries.map((entry) => this.of(entry)));
      this.#lists.set(entries, joined);
    }
    return joined;
  }

  /** The list as messages of about `chunkBytes` each, for the Stream RPCs; none for an empty list. */
  *chunks(entries: readonly Entry[], chunkBytes = 256 * 1024): Generator<Uint8Array> {
    let pending: Uint8Array[] = [];
    let bytes = 0;
    for (const entry of entries) {
      const fragment = this.of(entry);
      if (bytes > 0 && bytes + fragment.length > chunkBytes) {
        yield join(pending);
        pending = [];
        bytes = 0;
      }
      pending.push(fragment);
      bytes += fragment.length;
    }
    if (bytes > 0) yield join(pending);
  }
}

/** One element of a repeated message field. */
export function framed(fieldNumber: number, body: Uint8Array): Uint8Array {
  const head = [...varint(fieldNumber * 8 + 2), ...varint(body.length)];
  const fragment = new Uint8Array(head.length + body.length);
  fragment.set(head);
  fragment.set(body, head.length);
  return fragment;
}

/** The bytes of a message whose only content is these elements of one repeated message field. */
export function joinList(fieldNumber: number, bodies: readonly Uint8Array[]): Uint8Array {
  return join(bodies.map((body) => framed(fieldNumber, body)));
}

function join(fragments: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const fragment of fragments) length += fragment.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const fragment of fragments) {
    joined.set(fragment, at);
    at += fragment.length;
  }
  return joined;
}

/** Lengths stay below 2^28: a message of the CRI is at most 16 MiB. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
