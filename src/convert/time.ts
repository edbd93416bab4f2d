/** Go's zero time, which Docker prints where something never happened. */
const GO_ZERO_YEAR = "0001-";
const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/**
 * RFC 3339 with up to nine fraction digits → nanoseconds since the epoch, exact. Docker's "never"
 * (year 1), an empty or an unreadable text are 0n: the CRI's "not specified", which the kubelet
 * understands, whereas year 1 would be shown as a date.
 */
export function parseTimeNs(text: string): bigint {
  if (text.startsWith(GO_ZERO_YEAR)) return 0n;
  const match = RFC3339.exec(text);
  if (match === null) return 0n;
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour, offsetMinute] =
    match;
  // A leap second has no place in Unix time; it is the first moment of the next minute.
  const ms = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  const offsetMs =
    sign === undefined
      ? 0
      : (sign === "-" ? -1 : 1) * (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000;
  return BigInt(ms - offsetMs) * NS_PER_MS + BigInt(fraction.padEnd(9, "0"));
}

/** Nanoseconds since the epoch → RFC 3339 in UTC with nine fraction digits; 0n is Docker's "never". */
export function formatTimeNs(ns: bigint): string {
  if (ns === 0n) return "0001-01-01T00:00:00Z";
  let seconds = ns / NS_PER_SECOND;
  let fraction = ns % NS_PER_SECOND;
  if (fraction < 0n) {
    seconds -= 1n;
    fraction += NS_PER_SECOND;
  }
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${date}.${String(fraction).padStart(9, "0")}Z`;
}
