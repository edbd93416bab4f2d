import type { Fields } from "./fields.ts";

const factors: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity ("250m", "64Mi", 1, "1e3") in its own unit; undefined where there is none. */
export function quantity(fields: Fields, key: string): number | undefined {
  const value = fields.raw(key);
  if (value === undefined || value === null) return undefined;
  const text = typeof value === "number" || typeof value === "string" ? String(value) : "";
  const match = /^\+?(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,2})|([A-Za-z]{0,2}))$/.exec(text);
  const factor = factors[match?.[3] ?? ""];
  if (match === null || factor === undefined) {
    fields.problem(key, "want a quantity such as 250m or 64Mi");
    return undefined;
  }
  return Number(match[1]) * 10 ** Number(match[2] ?? 0) * factor;
}
