import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { exitCodeOf, findingsJson } from "../../../../src/admin/doctor.ts";
import { checkNames, examine } from "../../../../src/admin/doctor/examine.ts";
import type { NodeFacts } from "../../../../src/admin/doctor/facts.ts";
import { findingsText } from "../../../../src/admin/doctor/text.ts";
import { soundEngine, soundNode } from "../../../support/doctor-node.ts";
import { endpoint, kubelet } from "./kubelet-mistakes.ts";
import { daemon, disk, engineWith, image, mistakes, sound } from "./mistakes.ts";

describe("the doctor", () => {
  it("finds nothing on a sound node", () => {
    const findings = examine(sound);
    expect(findings.filter(({ level }) => level !== "ok")).to.deep.equal([]);
    expect(exitCodeOf(findings)).to.equal(0);
    expect(new Set(findings.map(({ check }) => check)).size).to.equal(findings.length);
  });

  for (const [name, changes, check, level, ...words] of mistakes) {
    it(`finds ${name}, and nothing else`, () => {
      const findings = examine(soundNode(changes));
      const bad = findings.filter((finding) => !["ok", "skipped"].includes(finding.level));
      expect(bad.map((finding) => [finding.check, finding.level])).to.deep.equal([[check, level]]);
      const [{ what, why, mend }] = bad as [(typeof bad)[number]];
      expect(what).to.not.equal("");
      expect(why).to.not.equal("");
      expect(mend).to.not.deep.equal([]);
      for (const word of words) expect([what, why, ...mend].join("\n")).to.match(word);
      expect(exitCodeOf(findings)).to.equal(level === "error" ? 2 : 1);
    });
  }

  it("has a mistake for each of its checks, which the page lists", () => {
    const planted = new Set(mistakes.map(([, , check]) => check));
    expect([...planted].sort()).to.deep.equal([...checkNames].sort());
    const page = readFileSync(
      join(import.meta.dirname, "..", "..", "..", "..", "docs", "operations.md"),
      "utf8",
    );
    const table = page.slice(page.indexOf("| Check | Error |"));
    const rows = table.slice(0, table.indexOf("\n\n")).split("\n").slice(2);
    const listed = rows.flatMap((row) =>
      [...(row.split(" | ", 1)[0] ?? "").matchAll(/`([a-z-]+)`/g)].map((match) => match[1]),
    );
    expect(listed.sort()).to.deep.equal([...checkNames].sort());
  });

  it("runs the checks that are asked for, in its own order", () => {
    const node = soundNode({ ipForward: false, editing: [] });
    const names = (only?: string[]): string[] => examine(node, only).map(({ check }) => check);
    expect(names(["forward", "engine"])).to.deep.equal(["engine", "forward"]);
    expect(exitCodeOf(examine(node, ["engine"]))).to.equal(0);
    expect(names([])).to.deep.equal(names());
  });

  it("counts what is fine instead of listing it, unless it is asked", () => {
    const findings = examine(soundNode({ ipForward: false }));
    const short = findingsText(findings, { withOk: false });
    expect(short).to.not.match(/^ok /m);
    expect(short).to.match(/^warn {2}forward: /);
    expect(short).to.match(/0 errors, 1 warning, \d+ ok \(--verbose lists them\)\n$/);
    const long = findingsText(findings);
    expect(long.match(/^ok {4}/gm)).to.have.length(findings.length - 1);
    expect(long).to.match(/\d+ ok\n$/);
    const onlyFine = findingsText(examine(soundNode()), { withOk: false });
    expect(onlyFine).to.match(/^\n0 errors, 0 warnings, \d+ ok \(--verbose lists them\)\n$/);
  });

  it("has colour in its first column alone, and none where stdout is no terminal", () => {
    const findings = examine(soundNode({ ipForward: false }), ["forward", "engine"]);
    const text = findingsText(findings, { paint: (mark, level) => `<${level}>${mark}</>` });
    expect(text).to.match(/^<warning>warn <\/> forward: /);
    expect(text).to.match(/^<ok>ok {3}<\/> engine: /m);
    expect(text.replaceAll(/<[^>]*>/g, "")).to.equal(findingsText(findings));
  });

  it("says that it cannot look where Docker is down, and judges the rest", () => {
    const findings = examine(
      soundNode({
        engine: undefined,
        engineTrouble: "connect ENOENT",
        dockerSocket: { ...sound.dockerSocket, mode: undefined },
        runc: undefined,
        editing: [],
      }),
    );
    expect(findings.filter(({ level }) => level === "error")).to.have.length(1);
    expect(findings.find(({ check }) => check === "engine")?.what).to.contain("connect ENOENT");
    const skipped = findings.filter(({ level }) => level === "skipped").map(({ check }) => check);
    expect(skipped).to.have.members(
      "docker-socket storage cgroup-version cgroup-driver live-restore log-driver runc dockline-oci pause-image local-images".split(
        " ",
      ),
    );
  });

  it("is content with what is only different", () => {
    const different: Partial<NodeFacts>[] = [
      kubelet(endpoint("/var/run/dockline/dockline.sock")),
      { kubelet: { sources: [], removedFlags: [], troubles: [] } },
      {
        runc: {
          version: "1.1.5+ds1",
          changelog:
            "CVE-2024-21626 CVE-2024-45310 CVE-2025-31133 CVE-2025-52565 CVE-2025-52881 CVE-2026-41579",
        },
      },
      { dockerMounts: undefined },
      { owed: "unreadable" },
      {
        engine: { ...soundEngine(), localImages: ["own/a:1"] },
        ...kubelet({ keepsImages: true }),
      },
      image("amd64"),
      { ...engineWith({ CgroupVersion: "1" }), ...kubelet({ failCgroupV1: false }) },
      daemon({ init: false, "default-runtime": "runc", "default-ulimits": {} }),
      { daemon: { ...sound.daemon, hosts: ["tcp://0.0.0.0:2376"], tlsVerify: true } },
      disk({ freeInodesShare: undefined }),
      kubelet({
        lostFlags: [{ flag: "--containerd", from: "/etc/default/kubelet", since: 37 }],
        series: "facade",
        minor: 36,
      }),
      kubelet({
        nextEndpoint: { value: "unix:///var/run/dockline/dockline.sock", from: "/k/i.yaml" },
        series: "cri",
        minor: 37,
      }),
      // Somebody who may not look has learnt nothing.
      {
        docklineSocket: { ...sound.docklineSocket, mode: undefined, answers: false, denied: true },
      },
      { docklineSocket: { ...sound.docklineSocket, answers: false, denied: true } },
    ];
    for (const changes of different) {
      expect(exitCodeOf(examine(soundNode(changes))), JSON.stringify(changes)).to.equal(0);
    }
  });

  it("tells a trouble once, where Dockline has the same to say", () => {
    const unready = (type: string): Partial<NodeFacts> => ({
      server: { conditions: [{ type, status: false, message: "x" }] },
    });
    for (const [changes, check] of [
      [{ ...unready("RuntimeReady"), engine: undefined }, "engine"],
      [{ ...unready("NetworkReady"), cni: { files: [], plugins: [] } }, "cni-config"],
    ] as const) {
      const errors = examine(soundNode(changes)).filter(({ level }) => level === "error");
      expect(errors.map((finding) => finding.check)).to.deep.equal([check]);
    }
  });

  it("does not judge packets that it cannot look at", () => {
    const level = (ipv6: "unknown" | "ACCEPT"): string | undefined =>
      examine(soundNode({ forward: { ipv4: "unknown", ipv6, message: "" } })).find(
        ({ check }) => check === "forward",
      )?.level;
    expect(level("unknown")).to.equal("skipped");
    expect(level("ACCEPT")).to.equal("ok");
  });

  it("says it in 80 columns, the worst first, and leaves lines to copy whole", () => {
    for (const [name, changes] of mistakes) {
      const text = findingsText(examine(soundNode(changes)));
      for (const line of text.split("\n")) expect(line.length, `${name}: ${line}`).to.be.below(81);
      expect(text).to.match(/^(?:ERROR|warn) /);
    }
  });

  it("gives scripts one JSON object of a form that is written down", () => {
    const findings = examine(soundNode({ forward: { ipv4: "DROP", ipv6: "DROP", message: "" } }));
    const report = JSON.parse(findingsJson(findings)) as Record<string, unknown>;
    expect(Object.keys(report)).to.deep.equal(["schema", "dockline", "counts", "findings"]);
    expect(report["schema"]).to.equal(1);
    expect(report["counts"]).to.deep.equal({
      error: 1,
      warning: 0,
      ok: findings.length - 1,
      skipped: 0,
    });
    for (const finding of report["findings"] as Record<string, unknown>[]) {
      expect(Object.keys(finding)).to.deep.equal([
        ...["check", "level", "what", "why", "mend", "fix"],
      ]);
      expect(finding["fix"]).to.deep.equal(finding["mend"]);
    }
  });
});
