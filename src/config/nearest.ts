/**
 * The known name that a mistyped one is most like, undefined where none is like it: at most three
 * letters may differ, or a third of a long name.
 */
function nearestName(name: string, known: readonly string[]): string | undefined {
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (best === undefined || distance < best.distance) best = { candidate, distance };
  }
  // Of a name of three letters nothing would be left.
  const allowed = Math.min(name.length - 1, Math.max(3, Math.floor(name.length / 3)));
  return best !== undefined && best.distance <= allowed ? best.candidate : undefined;
}

/** Levenshtein's: letters to insert, delete or replace. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** "; did you mean --state-dir?" for the known name that is nearest, or nothing when none is near. */
export function nearest(name: string, known: readonly string[], prefix: string): string {
  const found = nearestName(name, known);
  return found === undefined ? "" : `; did you mean ${prefix}${found}?`;
}
