import { commands } from "../../src/cli/commands.ts";
import { commandPage } from "./command-pages.ts";
import { bashCompletion, fishCompletion, flagsIn, zshCompletion } from "./completions.ts";

/** Name of a page, or path of a completion below the root of the file system; and the text. */
type ShellFile = readonly [path: string, text: string];

export interface ShellFiles {
  /** dockline-COMMAND(8), to be packed as Debian wants manual pages. */
  pages: readonly ShellFile[];
  completions: readonly ShellFile[];
}

/**
 * What the package has for each command beside dockline(8).
 *
 * @param helpOf what `dockline COMMAND --help` prints
 * @param date of the pages, year-month-day
 */
export function shellFiles(
  helpOf: (command: string) => string,
  version: string,
  date: string,
): ShellFiles {
  const helped = commands
    .filter(({ name }) => name !== "help")
    .map((command) => ({ ...command, help: helpOf(command.name) }));
  const completed = [
    ...helped.map(({ help, ...command }) => ({ ...command, flags: flagsIn(help) })),
    ...commands.filter(({ name }) => name === "help").map((command) => ({ ...command, flags: [] })),
  ];
  return {
    pages: helped.map((command) => [
      `dockline-${command.name}.8.gz`,
      commandPage(command, command.help, version, date),
    ]),
    completions: [
      ["usr/share/bash-completion/completions/dockline", bashCompletion(completed)],
      ["usr/share/zsh/vendor-completions/_dockline", zshCompletion(completed)],
      ["usr/share/fish/vendor_completions.d/dockline.fish", fishCompletion(completed)],
    ],
  };
}
