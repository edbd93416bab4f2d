import { expect } from "chai";
import { doctor } from "../../../../src/admin/doctor.ts";
import { checkNames } from "../../../../src/admin/doctor/examine.ts";
import type { Finding } from "../../../../src/admin/doctor/finding.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

describe("the doctor's command line", () => {
  const folder = tempFolder();
  after(() => folder.remove());

  /** On a node without Docker, kubelet or anything else. */
  const run = async (
    ...args: string[]
  ): Promise<{ exitCode: number; out: string; error: string }> => {
    const [out, errors]: string[][] = [[], []];
    const write = process.stderr.write.bind(process.stderr);
    process.stderr.write = (text: string | Uint8Array): boolean => errors!.push(String(text)) > 0;
    try {
      const exitCode = await doctor(
        [
          ...args,
          ...["docker-endpoint", "container-runtime-endpoint"].map(
            (name) => `--${name}=unix://${folder.path(`${name}.sock`)}`,
          ),
          ...["state-dir", "run-dir", "cni-conf-dir"].map(
            (name) => `--${name}=${folder.path(name)}`,
          ),
          "--config=",
        ],
        (text) => out!.push(text),
        {
          processes: () => [],
          iptables: () =>
            Promise.resolve({ exitCode: 0, stdout: "-P FORWARD ACCEPT\n", stderr: "" }),
          nriSocket: folder.path("nri.sock"),
          systemd: false,
        },
      );
      return { exitCode, out: out!.join(""), error: errors!.join("") };
    } finally {
      process.stderr.write = write;
    }
  };
  const checksOf = (json: string): string[] =>
    (JSON.parse(json) as { findings: Finding[] }).findings.map(({ check }) => check);

  it("takes checks one by one and as a list, and judges by them alone", async () => {
    const { exitCode, out } = await run("--json", "--check", "cni-config", "--check=engine,owed");
    expect(checksOf(out)).to.deep.equal(["engine", "cni-config", "owed"]);
    expect(exitCode).to.equal(2);
    const fine = await run("--check", "owed");
    expect(fine.out).to.match(/^ok {4}owed: /);
    expect(fine.exitCode).to.equal(0);
  });

  it("lists what is fine with --verbose", async () => {
    const short = await run();
    expect(short.out).to.not.match(/^ok /m);
    expect(short.out).to.contain("(--verbose lists them)");
    const long = await run("--verbose");
    expect(long.out).to.match(/^ok {4}owed: /m);
    expect([short.exitCode, long.exitCode]).to.deep.equal([2, 2]);
  });

  it("says in a line or two what is wrong with it, and names the checks there are", async () => {
    for (const [args, said] of [
      [["--check", "engin"], /no check "engin"; the checks are rights, engine, /],
      [["--frobnicate"], /unknown flag --frobnicate/],
      [["--check="], /no check ""/],
    ] as const) {
      const { exitCode, error, out } = await run(...args);
      expect(exitCode).to.equal(3);
      expect(error).to.match(said);
      expect(error.split("\n")).to.have.length(3);
      expect(out).to.equal("");
    }
  });

  it("has help in 80 columns that names each check", async () => {
    const { out, exitCode } = await run("--help");
    expect(exitCode).to.equal(0);
    for (const line of out.split("\n")) expect(line.length, line).to.be.below(81);
    expect(out.split(/[\s,]+/)).to.include.members([...checkNames]);
  });
});
