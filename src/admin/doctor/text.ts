import { styleText } from "node:util";
import { count } from "../report.ts";
import type { Finding, Level } from "./finding.ts";

const width = 80;
const marks: Readonly<Record<Level, string>> = {
  error: "ERROR",
  warning: "warn ",
  ok: "ok   ",
  skipped: "-    ",
};
const order: readonly Level[] = ["error", "warning", "skipped", "ok"];

/** Gives a mark its colour, or leaves it as it is. */
export type Paint = (mark: string, level: Level) => string;

const colours: Readonly<Record<Level, Parameters<typeof styleText>[0]>> = {
  error: "red",
  warning: "yellow",
  ok: "green",
  skipped: "dim",
};

/** For stdout: no colour into a pipe or a file, or where NO_COLOR is set. */
export const terminalPaint: Paint = (mark, level) =>
  styleText(colours[level], mark, { stream: process.stdout });

const plain: Paint = (mark) => mark;

/**
 * The worst first, so that a screen's last lines are the sum and its first the trouble.
 *
 * @param withOk whether checks that found nothing are listed, or only counted
 */
export function findingsText(
  findings: readonly Finding[],
  { withOk = true, paint = plain }: { withOk?: boolean; paint?: Paint } = {},
): string {
  const shown = order.filter((level) => withOk || level !== "ok");
  const sorted = shown.flatMap((level) => findings.filter((finding) => finding.level === level));
  const lines = sorted.flatMap((finding) => {
    const { check, level, what, why, mend } = finding;
    const [first = "", ...rest] = fold(`${check}: ${what}`, `${marks[level]} `, "      ");
    const told = [paint(marks[level], level) + first.slice(marks[level].length), ...rest];
    if (why === "") return told;
    return [
      ...told,
      ...fold(why, "      why:  ", "            "),
      ...mend.flatMap((line, at) => mendLines(line, `      ${at === 0 ? "fix:  " : "      "}`)),
      "",
    ];
  });
  const hint =
    withOk || !findings.some(({ level }) => level === "ok") ? "" : " (--verbose lists them)";
  return `${lines.map((line) => `${line}\n`).join("")}${sumText(findings, hint)}\n`;
}

/** A command stays one line, to be copied; a long line for a file goes below the file's name. */
function mendLines(line: string, first: string): string[] {
  const place = /^(in .*?:) (.*)$/.exec(line);
  if (first.length + line.length <= width || place === null) return [first + line];
  return [`${first}${place[1] ?? ""}`, `${" ".repeat(first.length + 2)}${place[2] ?? ""}`];
}

function sumText(findings: readonly Finding[], hint: string): string {
  const number = (level: Level): number => findings.filter((one) => one.level === level).length;
  const skipped = number("skipped") === 0 ? "" : `, ${number("skipped")} not looked at`;
  const found = `${count(number("error"), "error")}, ${count(number("warning"), "warning")}`;
  return `\n${found}, ${number("ok")} ok${hint}${skipped}`;
}

function fold(text: string, first: string, rest: string): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(" ")) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = rest;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
