/** The order of the site's pages: what a reader wants, and the pages for it (paths from the repository's root). */
export const contents: readonly { title: string; pages: readonly string[] }[] = [
  { title: "Start", pages: ["docs/README.md", "docs/quickstart.md", "docs/play.md"] },
  {
    title: "Decide",
    pages: [
      ...["docs/comparison.md", "docs/limits.md", "docs/differences.md"],
      ...["docs/compatibility.md", "docs/fields.md"],
      ...["docs/support.md", "docs/benchmarks/README.md"],
    ],
  },
  { title: "Install", pages: ["docs/install.md", "docs/migration.md"] },
  {
    title: "Configure",
    pages: [
      ...["docs/commands.md", "docs/configuration.md", "docs/images.md"],
      ...["docs/user-namespaces.md", "docs/pod-network.md", "docs/nri.md"],
    ],
  },
  { title: "Operate", pages: ["docs/troubleshooting.md", "docs/operations.md"] },
  {
    title: "Observe",
    pages: ["docs/journal.md", "docs/trace.md", "docs/monitoring.md", "docs/metrics.md"],
  },
  { title: "Security", pages: ["docs/security.md", "SECURITY.md"] },
  {
    title: "Understand and change",
    pages: [
      ...["docs/architecture.md", "docs/contributing.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md"],
      ...["docs/claims.md", "docs/glossary.md", "docs/adopting.md", "CHANGELOG.md"],
    ],
  },
];

/** Where a page stands on the site: `docs/` is the top, pages of the repository's top are below `project/`. */
export function sitePath(page: string): string {
  const below = page.startsWith("docs/") ? page.slice(5) : `project/${page.toLowerCase()}`;
  return below.replace(/(^|\/)README\.md$/, "$1index.md");
}
