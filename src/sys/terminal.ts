import { styleText } from "node:util";

/** A line of our own on stderr, in the form that scripts look for; "dockline:" is red on a terminal. */
export function complain(text: string): void {
  process.stderr.write(`${coloured("error", "dockline:", process.stderr)} ${text}\n`);
}

const styles = { error: ["bold", "red"], warn: ["yellow"], faint: ["dim"] } as const;

/**
 * The text in colour where `stream` is a terminal that shows colours, and nobody has set NO_COLOR;
 * else the text as it is.
 */
export function coloured(
  style: keyof typeof styles,
  text: string,
  stream: NodeJS.WritableStream,
): string {
  return styleText([...styles[style]], text, { stream });
}
