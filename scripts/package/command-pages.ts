import type { Command } from "../../src/cli/commands.ts";
import { literal, page, roff, section, title } from "./roff.ts";

/**
 * dockline-COMMAND(8), from the help that the command itself prints: what a page says is what the program says.
 *
 * @param help what `dockline COMMAND --help` prints
 * @param date of the page, year-month-day
 */
export function commandPage(
  { name, summary }: Command,
  help: string,
  version: string,
  date: string,
): string {
  const [usage = "", ...rest] = help.trimEnd().split(/\n{2,}/);
  return page([
    title(`DOCKLINE-${name.toUpperCase()}`, 8, version, date),
    section("NAME", roff(`dockline-${name} - ${summary}`)),
    section("SYNOPSIS", literal(usage.replace(/^usage: /, "").replaceAll(/^ {7}/gm, ""))),
    section("DESCRIPTION", ...rest.flatMap(block)),
    section("SEE ALSO", roff("dockline(8), dockline.yaml(5)")),
  ]);
}

/** Text is filled by whoever shows the page; lines that are set in or begin a list keep their form. */
function block(text: string): string[] {
  const isText = text.split("\n").every((line) => /^\S/.test(line));
  return [".PP", isText ? text.split("\n").map(roff).join("\n") : literal(text)];
}
