import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { root } from "../../bundle.ts";
import { contents, sitePath } from "./contents.ts";
import { withLinks } from "./links.ts";

export const sitePages: readonly string[] = contents.flatMap(({ pages }) => pages);

/**
 * A page as the site has it: links to other pages lead to their place on the site, links to data in docs/ to
 * their copies, and links to the rest of the repository to `source`, or are words only where there is no such address.
 *
 * @param source address of the repository's files at a forge, without a slash at its end
 */
export function siteText(page: string, text: string, source: string | undefined): string {
  return withLinks(text, (target) => {
    if (/^[a-z]+:/.test(target) || target.startsWith("#")) return target;
    const [path = "", anchor] = target.split("#");
    const file = posix.join(posix.dirname(page), path);
    const hash = anchor === undefined ? "" : `#${anchor}`;
    if (sitePages.includes(file)) {
      const way = posix.relative(posix.dirname(sitePath(page)), sitePath(file));
      return `${way.startsWith(".") ? way : `./${way}`}${hash}`;
    }
    if (file === "README.md") return undefined;
    if (/^docs\/.*\.(?:svg|png|txt|json|html)$/.test(file)) return `/${file.slice(5)}`;
    return source === undefined ? undefined : `${source}/${file}${hash}`;
  });
}

/** Writes the pages and what they show into a folder for the generator. */
export function writePages(folder: string, source: string | undefined): void {
  for (const page of sitePages) {
    const target = join(folder, sitePath(page));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, siteText(page, readFileSync(join(root, page), "utf8"), source));
  }
  for (const data of ["pictures", "benchmarks", "fields"]) {
    const from = join(root, "docs", data);
    if (!existsSync(from)) continue;
    cpSync(from, join(folder, "public", data), {
      recursive: true,
      filter: (path) => !path.endsWith(".md"),
    });
  }
}

/** The title of a page, its first heading. */
export function titleOf(page: string): string {
  const heading = /^# (.+)$/m.exec(readFileSync(join(root, page), "utf8"))?.[1];
  if (heading === undefined) throw new Error(`${page} has no heading`);
  return heading.replaceAll("`", "");
}

/** The script that draws the pages' diagrams in the browser. */
export function copyMermaid(modules: string, folder: string): void {
  mkdirSync(join(folder, "public"), { recursive: true });
  copyFileSync(
    join(modules, "@mermaid-js", "tiny", "dist", "mermaid.tiny.js"),
    join(folder, "public", "mermaid.js"),
  );
}
