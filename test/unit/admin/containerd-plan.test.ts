import { expect } from "chai";
import { containerdFindings, containerdSteps } from "../../../src/admin/containerd-plan.ts";
import type { ContainerdPlan } from "../../../src/admin/containerd-plan.ts";
import type { KubeletFiles } from "../../../src/admin/kubelet/files.ts";
import type { EngineInfo } from "../../../src/engine/types.ts";

const ours = "unix:///run/dockline/dockline.sock";
const containerd = "unix:///run/containerd/containerd.sock";
const unit = "/etc/systemd/system/kubelet.service.d/20-docker.conf";

function planOf(files: Partial<KubeletFiles>): ContainerdPlan {
  const info: Partial<EngineInfo> = { ServerVersion: "29.1.0", DockerRootDir: "/d" };
  return {
    facts: {
      ...{ info: info as EngineInfo, images: [], registries: [], certificates: [] },
      containerdVersion: "2.2.1",
      ...{ credentials: [], credentialProblems: [], troubles: [], podCount: 0 },
    },
    files: { certsDir: "/c", credentials: [] },
    ...{ output: undefined, sandboxImage: "p", dockerEndpoint: "unix:///d.sock" },
    ...{ ownEndpoint: ours, kubeletFlags: undefined, stateDir: "/s", runDir: "/r" },
    kubelet: {
      minor: 36,
      files: {
        ...{ flags: [], units: [], config: undefined, dropIns: [], instance: undefined },
        ...{ instancePath: "/i", running: undefined, troubles: [] },
        ...files,
      },
    },
  };
}
const pointing = (plan: ContainerdPlan): readonly string[] =>
  containerdSteps(plan).find(({ title }) => title === "point the kubelet there")?.commands ?? [];
const warnings = (plan: ContainerdPlan): string[] =>
  containerdFindings(plan).flatMap(({ level, text }) => (level === "warn" ? [text] : []));

describe("the kubelet in the plan for containerd", () => {
  it("has its unit read again where that is one of the files", () => {
    const text = `Environment="KUBELET_EXTRA_ARGS=--container-runtime-endpoint=${ours}"\n`;
    expect(pointing(planOf({ units: [{ path: unit, text }] }))).to.deep.equal([
      `cp --backup=numbered FOLDER/kubelet${unit} ${unit}`,
      ...["systemctl daemon-reload", "systemctl start kubelet.service"],
    ]);
    expect(pointing(planOf({ flags: [{ path: "/etc/default/kubelet", text }] }))).to.not.include(
      "systemctl daemon-reload",
    );
  });

  it("is left to the operator where no file can point it there, and that is said", () => {
    const packaged = "/usr/lib/systemd/system/kubelet.service";
    const text = `ExecStart=/usr/bin/kubelet --container-runtime-endpoint=${ours}\n`;
    const key = { path: "/k/config.yaml", text: `containerRuntimeEndpoint: ${ours}\n` };
    const plan = planOf({ units: [{ path: packaged, text }], config: key });
    expect(warnings(plan).join()).to.contain(`${packaged} is a package's: override it`);
    expect(pointing(plan)).to.deep.equal([
      "cp --backup=numbered FOLDER/kubelet/k/config.yaml /k/config.yaml",
      `--container-runtime-endpoint=${containerd}`,
      "systemctl start kubelet.service",
    ]);
  });

  it("loses what belongs to Docker's side in units of the operator too", () => {
    const text = `Environment="A=--containerd=/run/dockline/containerd.sock --v=2"\n`;
    const packaged = { path: "/usr/lib/systemd/system/kubelet.service", text };
    const plan = planOf({
      units: [packaged, { path: unit, text }],
      config: { path: "/k/config.yaml", text: `containerRuntimeEndpoint: ${ours}\n` },
    });
    expect(pointing(plan)).to.include(`cp --backup=numbered FOLDER/kubelet${unit} ${unit}`);
    expect(pointing(plan).join()).to.not.include(packaged.path);
    expect(warnings(plan)).to.deep.equal([
      `${packaged.path} has --containerd, and is a package's: override it (systemctl edit kubelet)`,
    ]);
  });
});

describe("the plan for containerd", () => {
  const commands = (plan: ContainerdPlan): string[] =>
    containerdSteps(plan).flatMap((step) => [...(step.commands ?? [])]);

  it("keeps a copy of every file that it puts another one over", () => {
    const text = `Environment="A=--container-runtime-endpoint=${ours}"\n`;
    const all = commands(planOf({ units: [{ path: unit, text }] }));
    const over = all.filter((command) => /^(?:cp|install) /.test(command));
    expect(over).to.have.length(3);
    for (const command of over) expect(command).to.include(" --backup=numbered ");
  });

  it("removes the folders of this Dockline and of this Docker", () => {
    expect(commands(planOf({}))).to.include("rm -rf /d /s /r /etc/docker");
  });

  it("writes the configuration for the containerd that is there", () => {
    const line = (containerdVersion: string | undefined): string => {
      const plan = planOf({});
      plan.facts = { ...plan.facts, containerdVersion };
      return commands(plan).find((command) => command.startsWith("config.toml")) ?? "";
    };
    expect(line("1.7.27")).to.include(
      "version 2, for containerd 1.7.27, which Docker runs on now;",
    );
    for (const version of ["2.2.1", undefined]) {
      expect(line(version)).to.include("version 3, for containerd 2.x;");
    }
  });
});
