import { invalidArgument } from "../errors.ts";

/** Rates in bits per second; a missing one is unlimited. */
export interface Bandwidth {
  ingressRate?: number;
  egressRate?: number;
}

const ingressAnnotation = "kubernetes.io/ingress-bandwidth";
const egressAnnotation = "kubernetes.io/egress-bandwidth";

/** The bounds that Kubernetes sets for these annotations, bits per second. */
const minRate = 1_000n;
const maxRate = 1_000_000_000_000_000n;

/** Bits. The plugin wants a burst size; the largest it takes means no limit of its own. */
const unlimitedBurst = 2 ** 31 - 1;

/** The rates that a pod's annotations ask for; undefined when there are none. Throws CriError. */
export function podBandwidth(annotations: Readonly<Record<string, string>>): Bandwidth | undefined {
  const rate = (key: string): number | undefined =>
    Object.hasOwn(annotations, key) ? parseBandwidth(annotations[key] ?? "", key) : undefined;
  const ingressRate = rate(ingressAnnotation);
  const egressRate = rate(egressAnnotation);
  if (ingressRate === undefined && egressRate === undefined) return undefined;
  return {
    ...(ingressRate === undefined ? {} : { ingressRate }),
    ...(egressRate === undefined ? {} : { egressRate }),
  };
}

/** The value of the `bandwidth` capability (CNI conventions). */
export function bandwidthCapability(bandwidth: Bandwidth): Record<string, number> {
  return {
    ...(bandwidth.ingressRate === undefined
      ? {}
      : { ingressRate: bandwidth.ingressRate, ingressBurst: unlimitedBurst }),
    ...(bandwidth.egressRate === undefined
      ? {}
      : { egressRate: bandwidth.egressRate, egressBurst: unlimitedBurst }),
  };
}

const suffixes = new Map<string, { base: bigint; exponent: number }>([
  ["n", { base: 10n, exponent: -9 }],
  ["u", { base: 10n, exponent: -6 }],
  ["m", { base: 10n, exponent: -3 }],
  ["", { base: 10n, exponent: 0 }],
  ["k", { base: 10n, exponent: 3 }],
  ["M", { base: 10n, exponent: 6 }],
  ["G", { base: 10n, exponent: 9 }],
  ["T", { base: 10n, exponent: 12 }],
  ["P", { base: 10n, exponent: 15 }],
  ["E", { base: 10n, exponent: 18 }],
  ["Ki", { base: 2n, exponent: 10 }],
  ["Mi", { base: 2n, exponent: 20 }],
  ["Gi", { base: 2n, exponent: 30 }],
  ["Ti", { base: 2n, exponent: 40 }],
  ["Pi", { base: 2n, exponent: 50 }],
  ["Ei", { base: 2n, exponent: 60 }],
]);

/** Reads a Kubernetes quantity of 1k to 1P bits per second, rounded up to a whole one. */
export function parseBandwidth(text: string, what = "bandwidth"): number {
  const rate = text.length <= 64 ? parseQuantity(text) : undefined;
  if (rate === undefined) throw invalidArgument(`${what}: not a quantity of bits per second`);
  if (rate < minRate || rate > maxRate) {
    throw invalidArgument(`${what}: must be from 1k to 1P bits per second`);
  }
  return Number(rate);
}

function parseQuantity(text: string): bigint | undefined {
  const match = /^(\+?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(
    text,
  );
  if (match === null) return undefined;
  const [, , whole = "", fraction = "", power, suffix = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const scale = power === undefined ? suffixes.get(suffix) : { base: 10n, exponent: Number(power) };
  if (scale === undefined) return undefined;
  let numerator = BigInt(whole + fraction);
  let denominator = 10n ** BigInt(fraction.length);
  const factor = scale.base ** BigInt(Math.abs(scale.exponent));
  if (scale.exponent >= 0) numerator *= factor;
  else denominator *= factor;
  return (numerator + denominator - 1n) / denominator;
}
