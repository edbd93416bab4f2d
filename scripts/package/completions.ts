import type { Command } from "../../src/cli/commands.ts";
import { flagName } from "../../src/config/load.ts";
import { options } from "../../src/config/options.ts";
import type { Option, OptionKey } from "../../src/config/options.ts";

/** A command with the flags that its help names. */
export interface Completed extends Pick<Command, "name" | "summary"> {
  flags: readonly string[];
}

const table: Record<OptionKey, Option> = options;
const choices: readonly [flag: string, values: readonly string[]][] = [
  ...(Object.keys(options) as OptionKey[]).flatMap((key): [string, readonly string[]][] => {
    const { choices: values, type } = table[key];
    const fixed = type === "boolean" ? ["true", "false"] : values;
    return fixed === undefined ? [] : [[`--${flagName(key)}`, fixed]];
  }),
  ["--output", ["text", "json"]],
];

/** The flags at the beginning of the lines of a help text; --help beside them. */
export function flagsIn(help: string): string[] {
  const found = [...help.matchAll(/^\s+(?:-\w, )?(--[a-z][a-z-]*)/gm)].map(
    (match) => match[1] ?? "",
  );
  return [...new Set([...found, "--help"])].sort();
}

/** For /usr/share/bash-completion/completions/dockline. */
export function bashCompletion(commands: readonly Completed[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  return `# bash completion for dockline(8)

_dockline() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command="" word words=""
  COMPREPLY=()
  if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " ${names} " in *" $word "*) command=$word && break ;; esac
  done
  case $prev in
${choices.map(([flag, values]) => `  ${flag}) words="${values.join(" ")}" ;;`).join("\n")}
  esac
  if [[ -n $words && $cur != -* ]]; then
    :
  elif [[ $cur == -* ]]; then
    case $command in
${commands.map(({ name, flags }) => `    ${name === "serve" ? 'serve | ""' : name}) words="${flags.join(" ")}" ;;`).join("\n")}
    esac
  elif [[ -z $command || $command == help ]]; then
    words="${names}"
  fi
  # shellcheck disable=SC2207
  [[ -z $words ]] || COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _dockline dockline
`;
}

/** For /usr/share/zsh/vendor-completions/_dockline. */
export function zshCompletion(commands: readonly Completed[]): string {
  return `#compdef dockline

local -a commands
commands=(
${commands.map(({ name, summary }) => `  ${quoted(`${name}:${summary}`)}`).join("\n")}
)
case $words[CURRENT-1] in
${choices.map(([flag, values]) => `  ${flag}) compadd -- ${values.join(" ")} && return ;;`).join("\n")}
esac
if [[ $PREFIX == -* ]]; then
  case $words[2] in
${commands
  .filter(({ name }) => name !== "serve")
  .map(({ name, flags }) => `    ${name}) compadd -- ${flags.join(" ")} ;;`)
  .join("\n")}
    *) compadd -- ${(commands.find(({ name }) => name === "serve")?.flags ?? []).join(" ")} ;;
  esac
elif (( CURRENT == 2 )) || [[ $words[2] == help ]]; then
  _describe -t commands command commands
else
  _files
fi
`;
}

/** For /usr/share/fish/vendor_completions.d/dockline.fish. */
export function fishCompletion(commands: readonly Completed[]): string {
  const values = new Map(choices);
  const lines = commands.flatMap(({ name, summary, flags }) => [
    `complete -c dockline -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...flags.map((flag) => {
      const fixed = values.get(flag);
      const shown = fixed === undefined ? "" : ` -x -a ${quoted(fixed.join(" "))}`;
      return `complete -c dockline -n ${quoted(`__fish_seen_subcommand_from ${name}`)} -l ${flag.slice(2)}${shown}`;
    }),
  ]);
  return `# fish completion for dockline(8)\n${lines.join("\n")}\n`;
}

/** In single quotes, as all three shells read them. */
const quoted = (text: string): string => `'${text.replaceAll("'", "’")}'`;
