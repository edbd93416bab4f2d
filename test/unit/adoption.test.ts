import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parse } from "yaml";
import { notice } from "../../scripts/project/notice.ts";
import { npmPackages } from "../../scripts/project/third-parties.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const manifest = JSON.parse(read("package.json")) as {
  license: string;
  version: string;
  scripts: Record<string, string>;
};

/** Files of the project below a folder ("" for the top level alone). */
function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), {
    recursive: folder !== "",
    withFileTypes: true,
  })
    .filter((entry) => entry.isFile() && !/^(?:package-lock\.json|\.git)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

describe("the licence", () => {
  it("is the same in LICENSE, package.json, NOTICE and the Debian package", () => {
    expect(manifest.license).to.equal("Apache-2.0");
    expect(read("LICENSE")).to.match(/^\s*Apache License\s+Version 2\.0, January 2004\n/);
    expect(read("LICENSE")).to.contain("END OF TERMS AND CONDITIONS");
    expect(read("NOTICE")).to.contain("Licensed under the Apache License, Version 2.0");
    const copyright = read("deploy/debian/copyright");
    expect(copyright).to.match(/^Files: \*\nCopyright: \d{4} .+\nLicense: Apache-2\.0$/m);
    const holder = /^Copyright (\d{4} .+)$/m.exec(read("NOTICE"))?.[1];
    expect(copyright).to.contain(`Files: *\nCopyright: ${holder}\n`);
  });

  it("stands beside those of all software by others, as `npm run notice` writes them", () => {
    expect(read("NOTICE")).to.equal(notice());
    expect(npmPackages().length).to.be.above(50);
  });
});

describe("names and addresses that nobody has yet", () => {
  const placeholder = /@dockline\.invalid|\/\/dockline\.invalid|(?<![\w"])@?OWNER\//;

  it("are in the files that docs/adopting.md lists, and in no other", () => {
    const listed = [...read("docs/adopting.md").matchAll(/^\| \[([^\]]+)\]/gm)].map(
      ([, path = ""]) => path,
    );
    const found = ["", ".github", ".ci", "bin", "deploy", "docs", "proto", "scripts", "src"]
      .flatMap(filesOf)
      .filter((path) => path !== "docs/adopting.md" && placeholder.test(read(path)));
    expect(found.sort()).to.deep.equal(listed.sort());
    expect(listed).to.not.deep.equal([]);
  });
});

interface Step {
  uses?: string;
  run?: string;
}
interface Workflow {
  name: string;
  on: object;
  permissions: object;
  jobs: Record<string, { "runs-on": string; "timeout-minutes": number; steps: Step[] }>;
}

describe("the forge's files", () => {
  const folder = ".github/workflows";
  const workflows = readdirSync(join(root, folder)).map((name) => ({
    name,
    text: read(`${folder}/${name}`),
    steps: Object.values((parse(read(`${folder}/${name}`)) as Workflow).jobs).flatMap(
      ({ steps }) => steps,
    ),
  }));
  const scripts = workflows.flatMap(({ steps }) => steps.flatMap(({ run = "" }) => run));

  it("run the same command as any other CI", () => {
    expect(scripts.some((run) => /(?:^|\s)\.ci\/run\b/.test(run))).to.equal(true);
    expect(existsSync(join(root, ".ci/run"))).to.equal(true);
  });

  it("call scripts that there are", () => {
    const called = scripts.flatMap((run) =>
      [...run.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name = ""]) => name),
    );
    expect(called).to.include.members(["package", "test:package"]);
    expect(called.filter((name) => !Object.hasOwn(manifest.scripts, name))).to.deep.equal([]);
  });

  it("pin each action by its commit and start with no more than the right to read", () => {
    for (const { name, text, steps } of workflows) {
      const uses = steps.flatMap((step) => step.uses ?? []);
      expect(uses, name).to.not.deep.equal([]);
      expect(uses.filter((one) => !/@[0-9a-f]{40}$/.test(one))).to.deep.equal([]);
      const { permissions, jobs } = parse(text) as Workflow;
      expect(permissions, name).to.deep.equal({ contents: "read" });
      for (const job of Object.values(jobs)) expect(job["timeout-minutes"]).to.be.within(1, 360);
    }
  });

  it("have forms for issues that say what is asked", () => {
    for (const name of ["bug.yml", "feature.yml"]) {
      const form = parse(read(`.github/ISSUE_TEMPLATE/${name}`)) as {
        name: string;
        description: string;
        body: { type: string; id?: string; attributes: { label?: string; value?: string } }[];
      };
      expect(form.name).to.be.a("string");
      expect(form.description).to.be.a("string");
      for (const { type, id, attributes } of form.body) {
        expect(["markdown", "textarea", "input", "dropdown", "checkboxes"]).to.include(type);
        if (type === "markdown") expect(attributes.value).to.be.a("string");
        else expect([id, attributes.label]).to.not.include(undefined);
      }
    }
  });

  it("ask Renovate for exact versions and leave the test lanes' Go modules alone", () => {
    const renovate = JSON.parse(read(".github/renovate.json")) as {
      rangeStrategy: string;
      ignorePaths: string[];
    };
    expect(renovate.rangeStrategy).to.equal("pin");
    for (const path of renovate.ignorePaths) {
      expect(existsSync(join(root, path.replace("/**", ""))), path).to.equal(true);
    }
  });
});

describe("the pre-commit hook", () => {
  let checkout: string;
  beforeEach(() => {
    checkout = mkdtempSync(join(tmpdir(), "dockline-hook-"));
    mkdirSync(join(checkout, "bin"));
    symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"));
  });
  afterEach(() => {
    rmSync(checkout, { recursive: true });
  });

  /** Its exit code and output with these files staged; git itself may be missing on a test machine. */
  function commit(staged: Record<string, string>): { status: number | null; output: string } {
    for (const [name, text] of Object.entries(staged)) writeFileSync(join(checkout, name), text);
    const names = Object.keys(staged).map((name) => `${name}\\0`);
    writeFileSync(
      join(checkout, "bin", "git"),
      `#!/bin/sh\ncase $1 in\nrev-parse) echo "${checkout}" ;;\ndiff) printf "${names.join("")}" ;;\nesac\n`,
      { mode: 0o755 },
    );
    const { status, stdout, stderr } = spawnSync(join(root, "scripts/hooks/pre-commit"), {
      cwd: checkout,
      env: { PATH: `${checkout}/bin:${process.env["PATH"] ?? ""}` },
      encoding: "utf8",
    });
    return { status, output: `${stdout}${stderr}` };
  }

  it("stops a commit with a file in another format, and names the file", () => {
    const { status, output } = commit({ "good.json": '{ "a": 1 }\n', "bad name.json": "{'a':1}" });
    expect(status).to.equal(1);
    expect(output).to.contain("bad name.json").and.not.contain("good.json");
  });

  it("lets a tidy commit, and one without files, pass", () => {
    expect(commit({ "good.json": '{ "a": 1 }\n', "a.bin": "\0" })).to.deep.equal({
      status: 0,
      output: "",
    });
    expect(commit({}).status).to.equal(0);
  });
}).timeout(30_000);
