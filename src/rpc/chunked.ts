/** Entries in one message of a Stream* RPC: about 100 kB, far below the kubelet's 16 MiB. */
const chunkEntries = 100;

/** Cuts a list for a Stream* RPC; an empty list is no message at all. */
export function* chunked<T>(list: readonly T[], entries = chunkEntries): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += entries) yield list.slice(at, at + entries);
}
