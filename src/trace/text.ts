/** From and to, in milliseconds since the call began. */
type Span = readonly [number, number];

/** What containers, images and plugins are called is untrusted: it must not steer the terminal. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

/** At most `width` columns; what was cut shows by its end. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 2))}..`;
}

/** The same for what both its ends identify: an image by its registry, its last name and its tag. */
export function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const kept = Math.max(0, width - 2);
  const end = Math.ceil(kept / 2);
  return `${text.slice(0, kept - end)}..${text.slice(text.length - end)}`;
}

/** Local date and its distance from UTC: "2026-11-29, UTC+01:00"; empty for what is no time. */
export function dateText(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "";
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(two).join("-");
  const east = -time.getTimezoneOffset();
  const [hours, minutes] = [Math.floor(Math.abs(east) / 60), Math.abs(east) % 60].map(two);
  return `${date}, UTC${east < 0 ? "-" : "+"}${hours}:${minutes}`;
}

/** Local time of day with milliseconds, as the journal has it. */
export function timeText(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "??:??:??.???";
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${clock}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

export function durationText(ms: number): string {
  if (ms < 999.95) return `${ms.toFixed(1)} ms`;
  if (ms < 59_995) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}

export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** Where in the whole the spans lie. Each is seen, however short it is. */
export function barOf(spans: readonly Span[], wholeMs: number, width: number): string {
  const cells = Array.from({ length: width }, () => " ");
  const scale = wholeMs > 0 ? width / wholeMs : 0;
  for (const [from, to] of spans) {
    const first = Math.min(width - 1, Math.max(0, Math.floor(from * scale)));
    const end = Math.min(width, Math.max(first + 1, Math.floor(to * scale)));
    cells.fill("#", first, end);
  }
  return cells.join("");
}

/** What of the whole no step covers; a step that was open when the call ended covers the rest. */
export function gaps(
  steps: readonly { startMs: number; durationMs?: number }[],
  wholeMs: number,
): Span[] {
  const covered = steps
    .map(({ startMs, durationMs }): Span => [
      startMs,
      durationMs === undefined ? wholeMs : startMs + durationMs,
    ])
    .sort(([a], [b]) => a - b);
  const found: Span[] = [];
  let at = 0;
  for (const [from, to] of covered) {
    if (from > at) found.push([at, Math.min(from, wholeMs)]);
    at = Math.max(at, to);
  }
  if (at < wholeMs) found.push([at, wholeMs]);
  return found.filter(([from, to]) => to > from);
}
