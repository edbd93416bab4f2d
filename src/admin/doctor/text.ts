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

/** The worst first, so that a screen's last lines are the sum and its first the trouble. */
export function findingsText(findings: readonly Finding[]): string {
  const sorted = order.flatMap((level) => findings.filter((finding) => finding.level === level));
  const lines = sorted.flatMap((finding) => {
    const { check, level, what, why, mend } = finding;
    const told = fold(`${check}: ${what}`, `${marks[level]} `, "      ");
    if (why === "") return told;
    return [
      ...told,
      ...fold(why, "      why:  ", "            "),
      ...mend.flatMap((line, at) => mendLines(line, `      ${at === 0 ? "fix:  " : "      "}`)),
      "",
    ];
  });
  return `${lines.join("\n")}\n${sumText(findings)}\n`;
}

/** A command stays one line, to be copied; a long line for a file goes below the file's name. */
function mendLines(line: string, first: string): string[] {
  const place = /^(in .*?:) (.*)$/.exec(line);
  if (first.length + line.length <= width || place === null) return [first + line];
  return [`${first}${place[1] ?? ""}`, `${" ".repeat(first.length + 2)}${place[2] ?? ""}`];
}

function sumText(findings: readonly Finding[]): string {
  const number = (level: Level): number => findings.filter((one) => one.level === level).length;
  const skipped = number("skipped") === 0 ? "" : `, ${number("skipped")} not looked at`;
  return `\n${count(number("error"), "error")}, ${count(number("warning"), "warning")}, ${number("ok")} ok${skipped}`;
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
