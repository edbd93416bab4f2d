import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { environmentName } from "../../src/config/load.ts";
import { acceptedFlags, options, refusedFlags } from "../../src/config/options.ts";
import type { OptionKey } from "../../src/config/options.ts";
import { parsePage, root } from "./extract.ts";
import type { Page } from "./extract.ts";
import { foreign } from "./foreign.ts";

/** Where flags and variables of scripts, lanes and native programs are written down. */
const sources = [
  ...["scripts", "test/lanes", "test/bench", "test/support", "test/kubelet", "test/takeover"],
  ...["deploy/oci/src", "deploy/oci/build", "src/admin", "src/cli", "bin", ".ci"],
];

const flag = /(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w-])/g;
const variable = /\bDOCKLINE_[A-Z][A-Z_]+[A-Z]\b/g;

/** Flags and variables in backticks that nothing knows; `helps` is what programs say of themselves. */
export function unknownWords(pages: readonly Page[], helps: string): string[] {
  const known = new Set([
    ...(helps.match(flag) ?? []),
    ...Object.values(foreign).flatMap((verbs) => Object.values(verbs).flat()),
    ...Object.keys({ ...refusedFlags, ...acceptedFlags }).map((name) => `--${name}`),
    ...(Object.keys(options) as OptionKey[]).map(environmentName),
  ]);
  const own = sources.map((path) => textBelow(join(root, path))).join("\n");
  return pages.flatMap((page) =>
    parsePage(page).prose.flatMap(({ line, text }) =>
      (text.match(/`[^`]+`/g) ?? [])
        .flatMap((span) => [...(span.match(flag) ?? []), ...(span.match(variable) ?? [])])
        .filter((word) => !known.has(word) && !own.includes(word))
        .map((word) => `${page.page}:${line}: ${word}`),
    ),
  );
}

function textBelow(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return "";
  if (found.isFile()) return found.size > 1 << 20 ? "" : readFileSync(path, "utf8");
  return readdirSync(path)
    .filter((name) => name !== "node_modules" && name !== "vendor")
    .map((name) => textBelow(join(path, name)))
    .join("\n");
}
