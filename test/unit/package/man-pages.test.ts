import { expect } from "chai";
import { control, debianVersion } from "../../../scripts/package/control.ts";
import { configurationPage, programPage } from "../../../scripts/package/man-pages.ts";
import { environmentName, flagName } from "../../../src/config/load.ts";
import { options } from "../../../src/config/options.ts";
import type { OptionKey } from "../../../src/config/options.ts";

const keys = Object.keys(options) as OptionKey[];
const usage =
  "dockline 1.2.3: a runtime\n\nusage: dockline serve   serves\n       dockline play …   plays\n";
const plain = (page: string): string =>
  page.replaceAll("\\:", "").replaceAll("\\-", "-").replaceAll("\\e", "\\");

describe("the manual pages", () => {
  it("have every option, key and variable of the table", () => {
    const program = plain(programPage(usage, "1.2.3", "2026-01-01"));
    const configuration = plain(configurationPage("1.2.3", "2026-01-01"));
    for (const key of keys) {
      expect(program).to.include(`.B --${flagName(key)}=`);
      expect(configuration).to.include(`.B ${key}: `).and.include(environmentName(key));
    }
  });

  it("have the commands as the program lists them, in plain characters", () => {
    const page = programPage(usage, "1.2.3", "2026-01-01");
    expect(page).to.include(
      "usage: dockline serve   serves\n       dockline play \\[u2026]   plays\n",
    );
    expect(page).to.match(/^[\x20-\x7e\n]*$/);
  });

  it("begin no line of text with a request", () => {
    const requests = /^\.(TH|SH|SS|TP|PP|B|nf|fi|ad|nh)\b/;
    for (const page of [programPage(".x\n\n.y 'z", "1", "d"), configurationPage("1", "d")]) {
      const wrong = page.split("\n").filter((line) => /^[.']/.test(line) && !requests.test(line));
      expect(wrong).to.deep.equal([]);
    }
  });
});

describe("the package's control file", () => {
  it("sorts a version before its release", () => {
    expect(debianVersion("1.0.0-rc.1")).to.equal("1.0.0~rc.1");
    expect(control("1.0.0-rc.1", "arm64", 7)).to.match(
      /^Package: dockline\nVersion: 1\.0\.0~rc\.1\nArchitecture: arm64\n(.*\n)*Installed-Size: 7\n/,
    );
  });

  it("is fields and continuation lines only", () => {
    for (const line of control("1.0.0", "amd64", 1).trimEnd().split("\n")) {
      expect(line).to.match(/^([A-Z][A-Za-z-]+: \S.*| \S.*)$/);
    }
  });
});
