import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  beginUnits,
  criDockerdFinding,
  criDockerdUnits,
  docklineUnits,
  endUnits,
  findCriDockerd,
  switchUnits,
  unitFindings,
  whileKubeletRests,
} from "../../../src/admin/migrate-units.ts";
import type { Step } from "../../../src/admin/report.ts";
import { parseUnits } from "../../../src/admin/systemd-units.ts";
import type { Units, UnitState } from "../../../src/admin/systemd-units.ts";

/** "active enabled", "masked" or, for one that is not there, "". */
type Short = string;

function unitsOf(short: Record<string, Short>, kubeletPulls: string[] = []): Units {
  return new Map(
    switchUnits.map((name): [string, UnitState] => {
      const text = short[name] ?? "";
      const [active = "inactive", file = ""] = text.split(" ");
      const load = text === "" ? "not-found" : text === "masked" ? "masked" : "loaded";
      const state = load === "loaded" ? { active, file } : { active: "inactive", file: load };
      const pulls = name === "kubelet.service" ? kubeletPulls : [];
      return [name, { load, ...state, command: [], pulls }];
    }),
  );
}
const before = {
  "cri-docker.socket": "active enabled",
  "cri-docker.service": "active enabled",
  "dockline.socket": "inactive disabled",
  "dockline.service": "inactive disabled",
  "kubelet.service": "active enabled",
};
const after = {
  "cri-docker.socket": "inactive disabled",
  "cri-docker.service": "inactive disabled",
  "dockline.socket": "active enabled",
  "dockline.service": "active enabled",
  "kubelet.service": "active enabled",
};
/** Commands of a step that does it, or the title of one that does not. */
const told = ({ title, commands, apply }: Step): string =>
  apply === undefined ? title : (commands ?? []).join("; ");
const bad = (units: Units | undefined, direction: "from" | "back"): string[] =>
  unitFindings(units, direction).flatMap(({ level, text }) => (level === "bad" ? [text] : []));

describe("systemd's answer about units", () => {
  it("is read by unit, those that are not there included", () => {
    const text = [
      "ExecStart={ path=/usr/bin/cri-dockerd ; argv[]=/usr/bin/cri-dockerd --container-runtime-endpoint fd:// --cni-cache-dir=/c ; ignore_errors=no ; pid=9 ; status=0/0 }",
      "Requires=cri-docker.socket system.slice\nWants=network-online.target",
      "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n",
      "Requires=\nWants=\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n",
    ].join("\n");
    const units = parseUnits(["cri-docker.service", "nope.socket"], text);
    expect(units.get("cri-docker.service")).to.deep.equal({
      load: "loaded",
      active: "active",
      file: "enabled",
      command: [
        ...["/usr/bin/cri-dockerd", "--container-runtime-endpoint", "fd://"],
        "--cni-cache-dir=/c",
      ],
      pulls: ["cri-docker.socket", "system.slice", "network-online.target"],
    });
    expect(units.get("nope.socket")).to.include({ load: "not-found", active: "inactive" });
    expect(() => parseUnits(["one"], text)).to.throw("2 answers for 1 units");
  });
});

describe("the units in a migration", () => {
  it("are ended and begun as far as they are there", () => {
    const units = unitsOf({ ...before, "cri-docker.socket": "", "dockline.socket": "" });
    expect(told(endUnits("end", criDockerdUnits, units))).to.equal(
      "systemctl disable --now cri-docker.service",
    );
    expect(told(beginUnits("start", docklineUnits, units))).to.equal(
      "systemctl enable --now dockline.service",
    );
    expect(told(endUnits("end", criDockerdUnits, unitsOf({})))).to.equal(
      "end: systemd has no unit of it",
    );
  });

  it("are left alone where they are as they have to be, and not where only a half is", () => {
    const units = unitsOf(after);
    expect(told(endUnits("end", criDockerdUnits, units))).to.equal("end: done already");
    expect(told(beginUnits("start", docklineUnits, units))).to.equal("start: done already");
    for (const state of ["active disabled", "inactive enabled", "activating disabled"]) {
      const half = unitsOf({ ...after, "cri-docker.socket": state });
      expect(endUnits("end", criDockerdUnits, half).apply, state).to.not.equal(undefined);
    }
    for (const state of ["active disabled", "inactive enabled"]) {
      const half = unitsOf({ ...after, "dockline.socket": state });
      expect(beginUnits("start", docklineUnits, half).apply, state).to.not.equal(undefined);
    }
    // Without [Install] there is nothing to enable.
    const fixed = unitsOf({ ...after, "dockline.socket": "active static" });
    expect(beginUnits("start", docklineUnits, fixed).apply).to.equal(undefined);
  });

  it("are forgiven the starts that failed before another one", () => {
    const units = unitsOf({ ...before, "cri-docker.service": "failed enabled" });
    expect(beginUnits("start", criDockerdUnits, units).commands).to.deep.equal([
      "systemctl reset-failed cri-docker.service",
      "systemctl enable --now cri-docker.socket cri-docker.service",
    ]);
  });

  it("are commands for the operator where there is no systemd", () => {
    const step = endUnits("end", docklineUnits, undefined);
    expect(step.commands).to.deep.equal([
      "systemctl disable --now dockline.socket dockline.service",
    ]);
    expect(step.apply).to.equal(undefined);
    expect(whileKubeletRests([step], undefined).map(({ apply }) => apply)).to.deep.equal([
      ...[undefined, undefined, undefined],
    ]);
    expect(unitFindings(undefined, "from")).to.deep.equal([]);
  });
});

describe("the kubelet in a migration", () => {
  const work: Step = { title: "work", commands: ["work"], apply: () => Promise.resolve("") };
  const nothing: Step = { title: "nothing" };

  it("rests while something is changed", () => {
    const start = "systemctl start kubelet.service";
    expect(whileKubeletRests([work], unitsOf(before)).map(told)).to.deep.equal([
      ...["systemctl stop kubelet.service", "work", start],
    ]);
    const stopped = unitsOf({ ...before, "kubelet.service": "inactive enabled" });
    expect(whileKubeletRests([work], stopped).map(told)).to.deep.equal([
      ...["stop the kubelet: done already", "work", start],
    ]);
  });

  it("is not touched when there is nothing to do, and started when it alone is left", () => {
    expect(whileKubeletRests([nothing], unitsOf(after)).map(told)).to.deep.equal([
      ...["nothing", "start the kubelet: done already"],
    ]);
    const failed = unitsOf({ ...after, "kubelet.service": "failed enabled" });
    expect(whileKubeletRests([nothing], failed).map(told)).to.deep.equal([
      "nothing",
      "systemctl reset-failed kubelet.service; systemctl start kubelet.service",
    ]);
  });

  it("without a unit is the operator's", () => {
    const units = unitsOf({ ...before, "kubelet.service": "" });
    expect(whileKubeletRests([work], units).map(told)).to.deep.equal([
      ...["stop the kubelet yourself", "work", "start the kubelet yourself"],
    ]);
    expect(unitFindings(units, "from")).to.deep.equal([
      {
        level: "warn",
        text: "systemd has no kubelet.service: stopping and starting the kubelet is left to you",
      },
    ]);
  });
});

describe("what systemd says before a migration", () => {
  it("stops it where the runtime to come has no unit, or a masked one", () => {
    expect(bad(unitsOf(before), "from")).to.deep.equal([]);
    expect(bad(unitsOf({ ...before, "dockline.service": "" }), "from")).to.deep.equal([
      "systemd has no dockline.service: install Dockline's package, or its two units",
    ]);
    expect(bad(unitsOf({ ...after, "cri-docker.service": "" }), "back")).to.deep.equal([
      "systemd has no cri-docker.service: there is nothing to go back to",
    ]);
    expect(bad(unitsOf({ ...after, "cri-docker.service": "masked" }), "back")).to.deep.equal([
      "cri-docker.service is masked: systemctl unmask cri-docker.service",
    ]);
    // What is only to be ended may be masked, or not there.
    const masked = { ...before, "cri-docker.service": "masked", "cri-docker.socket": "" };
    expect(bad(unitsOf(masked), "from")).to.deep.equal([]);
  });

  it("warns of a kubelet whose start would start the other runtime again", () => {
    const units = unitsOf(before, ["network-online.target", "cri-docker.socket"]);
    expect(unitFindings(units, "from").map(({ level, text }) => `${level} ${text}`)).to.deep.equal([
      "warn kubelet.service starts cri-docker.socket with it (Wants or Requires): take that out of the unit",
    ]);
    expect(unitFindings(units, "back")).to.deep.equal([]);
  });

  it("stops it for a cri-dockerd that no unit of it ends", () => {
    const service = [{ pid: 7, args: [], isService: true }];
    const apart = [...service, { pid: 8, args: [], isService: false }];
    const units = unitsOf(before);
    const from = { direction: "from", units, handedBack: false } as const;
    expect(criDockerdFinding([], from).level).to.equal("ok");
    expect(criDockerdFinding(service, from).level).to.equal("ok");
    expect(criDockerdFinding(apart, from)).to.deep.equal({
      level: "bad",
      text: "cri-dockerd is running (pid 7, 8), but not as cri-docker.service: end it yourself",
    });
    expect(criDockerdFinding(apart, { ...from, units: undefined }).level).to.equal("ok");
    const back = { direction: "back", units, handedBack: false } as const;
    expect(criDockerdFinding(service, back).level).to.equal("bad");
    expect(criDockerdFinding(service, { ...back, handedBack: true }).level).to.equal("ok");
    expect(criDockerdFinding(apart, { ...back, handedBack: true }).level).to.equal("bad");
    const undo = { direction: "undo", units, handedBack: true } as const;
    expect(criDockerdFinding(service, undo).level).to.equal("bad");
  });
});

describe("the search for cri-dockerd", () => {
  let proc: string;
  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), "dockline-proc-"));
    add("self", "4026531836", "/", "dockline");
  });
  afterEach(() => rmSync(proc, { recursive: true }));
  const add = (pid: string, namespace: string, cgroup: string, program: string): void => {
    mkdirSync(join(proc, pid, "ns"), { recursive: true });
    writeFileSync(join(proc, pid, "cmdline"), `/usr/bin/${program}\0--log-level\0info\0`);
    writeFileSync(join(proc, pid, "cgroup"), `1:name=systemd:${cgroup}\n0::${cgroup}\n`);
    symlinkSync(`pid:[${namespace}]`, join(proc, pid, "ns", "pid"));
  };

  it("knows whose unit it is, and leaves out those within containers", () => {
    add("7", "4026531836", "/system.slice/cri-docker.service", "cri-dockerd");
    add("8", "4026531836", "/user.slice/session-2.scope", "cri-dockerd");
    add("9", "4026532200", "/system.slice/docker-abc.scope", "cri-dockerd");
    add("10", "4026531836", "/system.slice/cri-docker.service.d", "other");
    expect(findCriDockerd(proc).map(({ pid, isService }) => `${pid} ${isService}`)).to.deep.equal([
      ...["7 true", "8 false"],
    ]);
  });
});
