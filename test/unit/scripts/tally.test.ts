import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "chai";

const run = promisify(execFile);

/** What mocha prints at its end of tests that failed. */
const closing = (passed: number, titles: readonly string[]): string =>
  [`  ${passed} passing (1s)`, `  ${titles.length} failing`, ""]
    .concat(titles.map((title, at) => `  ${at + 1}) suite\n       ${title}:\n     Error: no\n`))
    .join("\n");

/** The last line of a lane that prints one of these in each of its runs. */
async function tallyOf(outputs: readonly string[]): Promise<string> {
  const script = `
    . scripts/tally.sh
    count=$(mktemp)
    fake() {
      echo run >>"$count"
      local outputs=("$@")
      printf '%s\\n' "\${outputs[$(($(wc -l <"$count") - 1))]}"
      [[ "\${outputs[$(($(wc -l <"$count") - 1))]}" != *failing* ]]
    }
    lane_twice fake fake "$@"
    rm -f "$count"
    tally || true`;
  const { stdout } = await run("bash", ["-c", script, "bash", ...outputs]);
  return stdout.trimEnd().split("\n").at(-1) ?? "";
}

describe("a lane that may run twice", () => {
  it("fails for what failed in both runs, and for nothing else", async () => {
    const first = closing(10, ["one", "two"]);
    expect(await tallyOf([first, closing(10, ["two", "three"])])).to.equal("11 passed, 1 failed");
    expect(await tallyOf([first, closing(11, ["three"])])).to.equal("12 passed, 0 failed");
    expect(await tallyOf([first, closing(10, ["one", "two"])])).to.equal("10 passed, 2 failed");
    expect(await tallyOf([first, "  12 passing (1s)"])).to.equal("12 passed, 0 failed");
    expect(await tallyOf(["  12 passing (1s)"])).to.equal("12 passed, 0 failed");
  });

  it("fails for a second run's failure when the first run has not run it", async () => {
    const broken = "  3 passing (1s)\n  1 failing\n\n  1) suite\n       one:\n     Error: no";
    expect(await tallyOf([broken, closing(11, ["two"])])).to.equal("11 passed, 1 failed");
  });

  it("fails when a failure has no title", async () => {
    const untold = "  10 passing (1s)\n  2 failing\n";
    expect(await tallyOf([closing(10, ["one", "two"]), untold])).to.equal("10 passed, 2 failed");
  });
});
