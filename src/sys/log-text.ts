/**
 * A line of the log as people read it: "2026-11-29T16:11:31.528Z INFO  call  rpc=StopContainer pod=web". What is no
 * JSON object is returned as it is.
 */
export function textLine(line: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return line;
  }
  if (typeof parsed !== "object" || parsed === null) return line;
  const { level, time, msg, ...fields } = parsed as Record<string, unknown>;
  const shown = Object.entries(fields).map(([key, value]) => ` ${key}=${valueText(key, value)}`);
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`;
  return `${head}${shown.length === 0 ? "" : ` ${shown.join("")}`}\n`;
}

/** In quotes where a blank, a quote or a control character would make it two fields, or two lines. */
function valueText(key: string, value: unknown): string {
  // The stack is for a report of the fault: the JSON form has it.
  const told = key === "err" ? messageOf(value) : value;
  const text = typeof told === "string" ? told : JSON.stringify(told);
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
}

function messageOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "message" in error ? error.message : error;
}
