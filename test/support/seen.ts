/** With DOCKLINE_TEST_PRINT set: a figure beside its truth, for the table in docs/metrics.md. */
export function seen(what: string, figure: unknown, truth: unknown): void {
  if (process.env["DOCKLINE_TEST_PRINT"] === undefined) return;
  process.stdout.write(`      | ${what} | ${String(truth)} | ${String(figure)} |\n`);
}
