/** "skipped": it could not be looked at, for a reason that another finding tells. */
export type Level = "ok" | "skipped" | "warning" | "error";

/** What one look at the node has told. Its form is that of `--json`: add to it, rename nothing. */
export interface Finding {
  /** Name of the check, for scripts that silence one. */
  check: string;
  level: Level;
  what: string;
  /** What it does to pods or to the node; "" where nothing is wrong. */
  why: string;
  /** Commands, or "in FILE: LINE", that fix it. `--json` calls it "fix" as well. */
  mend: string[];
}

export const ok = (check: string, what: string): Finding => ({
  check,
  level: "ok",
  what,
  why: "",
  mend: [],
});

export const skipped = (check: string, what: string): Finding => ({
  check,
  level: "skipped",
  what,
  why: "",
  mend: [],
});

export const warning = (
  check: string,
  what: string,
  why: string,
  ...mend: readonly string[]
): Finding => ({ check, level: "warning", what, why, mend: [...mend] });

export const error = (
  check: string,
  what: string,
  why: string,
  ...mend: readonly string[]
): Finding => ({ check, level: "error", what, why, mend: [...mend] });

export const withoutEngine = (check: string): Finding =>
  skipped(check, "not looked at: Docker does not answer");

/** A pod, with what its network plugin holds for it. */
export function podText(held: {
  pod: string;
  addresses: readonly string[];
  network: string;
}): string {
  const { pod, addresses, network } = held;
  return `${pod} (${addresses.length === 0 ? "no address known" : addresses.join(", ")}, network ${network})`;
}
