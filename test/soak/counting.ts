import { readCriLog } from "../support/containers.ts";

/** A container's shell line that writes 0, 1, 2 … */
export const counting = "at=0; while :; do echo $at; at=$((at + 1)); sleep 0.05; done";

/** How many lines the log of such a container has, and the first that is not the next number: lost, or there twice. */
export function readCounting(path: string): { lines: number; wrong: string | undefined } {
  const numbers = readCriLog(path).map(({ text }) => Number(text));
  const at = numbers.findIndex((number, line) => number !== line);
  const wrong = at < 0 ? undefined : `${path}: line ${at} is ${numbers[at] ?? ""}`;
  return { lines: numbers.length, wrong };
}
