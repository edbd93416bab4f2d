/** Recomputes its result only when one of the sources is another object: readers cache by it. */
export function unchanged<S extends readonly unknown[], T>(
  sources: () => S,
  make: (sources: S) => T,
): () => T {
  let last: { sources: S; result: T } | undefined;
  return () => {
    const now = sources();
    if (last?.sources.every((source, at) => source === now[at]) !== true) {
      last = { sources: now, result: make(now) };
    }
    return last.result;
  };
}
