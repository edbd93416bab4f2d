import type { TextFile } from "../text-file.ts";

/** A line of a unit file, with the lines that go on with it. */
const lineOf = (key: string): RegExp => new RegExp(`^${key}=(?:.*\\\\\\n)*.*$`, "gm");
const environmentLine = lineOf("Environment");
const word = /"[^"]*"|'[^']*'|[^\s"'\\]+/g;

/**
 * A package's units without what later files take back: command lines before an empty `ExecStart=`,
 * variables that are set again, and all those before an empty `Environment=`. A file of the operator's
 * keeps its text, since it may be written back. `environment`: the files that the units name with
 * `EnvironmentFile=`, whose variables are stronger than any unit's.
 */
export function inEffect(
  units: readonly TextFile[],
  environment: readonly TextFile[] = [],
): TextFile[] {
  const lastStart = units.findLastIndex(({ text }) => /^ExecStart=[ \t]*$/m.test(text));
  const lastReset = units.findLastIndex(({ text }) => /^Environment=[ \t]*$/m.test(text));
  const later = new Set(environment.flatMap(({ text }) => variablesOfFile(text)));
  const found: TextFile[] = [];
  for (const [at, { path, text }] of [...units.entries()].reverse()) {
    const own = variablesOf(text);
    if (path.startsWith("/etc/")) found.unshift({ path, text });
    else {
      const started = at < lastStart ? text.replaceAll(lineOf("ExecStart"), "") : text;
      const isReset = at < lastReset;
      const kept = started.replaceAll(environmentLine, (line) =>
        keep(line, (name) => !isReset && !later.has(name)),
      );
      found.unshift({ path, text: kept });
    }
    for (const name of own) later.add(name);
  }
  return found;
}

function assignments(line: string): string[] {
  return line.slice("Environment=".length).match(word) ?? [];
}

const nameOf = (assignment: string): string =>
  assignment.replace(/^["']/, "").split("=", 1)[0] ?? "";

function variablesOf(text: string): string[] {
  return [...text.matchAll(environmentLine)].flatMap(([line]) => assignments(line).map(nameOf));
}

const variablesOfFile = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*(\w+)=/gm)].map(([, name = ""]) => name);

/** The line as it is when all of it is kept. */
function keep(line: string, isKept: (name: string) => boolean): string {
  const all = assignments(line);
  const kept = all.filter((assignment) => isKept(nameOf(assignment)));
  if (kept.length === all.length) return line;
  return kept.length === 0 ? "" : `Environment=${kept.join(" ")}`;
}
