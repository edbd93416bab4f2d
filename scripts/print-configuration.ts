import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { optionsReference } from "../src/config/reference.ts";

/** Writes the options of docs/configuration.md from the option table; the rest of the page is written by hand. */
const path = join(import.meta.dirname, "..", "docs", "configuration.md");
const [head = "", rest = ""] = readFileSync(path, "utf8").split("\n## Options\n");
const tail = rest.slice(rest.indexOf("\n## "));
writeFileSync(path, `${head}\n## Options\n\n${optionsReference()}\n${tail}`);
