import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, isMessage } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { expect } from "chai";
import { accepted, pointsOf } from "../differential/accepted.ts";
import { drawn } from "../differential/drawn.ts";
import { handPicked } from "../differential/hand-picked.ts";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../src/gen/runtime/v1/api_pb.js";
import { knownFaults } from "../differential/known-faults.ts";
import { containerOf, sandboxOf } from "../differential/run-plan.ts";
import type { Outcome } from "../differential/run-plan.ts";
import type { ContainerInit } from "../support/pods.ts";
import { differencesIn, differencesPage } from "../support/differences.ts";

/** Works with dockline-oci, on other nodes or in calls that the suite does not make: other tests have these. */
const elsewhere = [
  ...["NamespaceOption.userns_options", "UserNamespace.", "IDMapping."],
  ...["Mount.uidMappings", "Mount.gidMappings", "Mount.mount_options"],
  "Capability.add_ambient_capabilities",
  // A container that runs has to be there already.
  "NamespaceOption.target_id",
  // On the nodes that have AppArmor.
  "LinuxContainerSecurityContext.apparmor_profile",
  // Kept for the status, which the kubelet's cgroup stands for.
  ...["LinuxPodSandboxConfig.overhead", "LinuxPodSandboxConfig.resources"],
  // Needs a file in the node's /etc/cdi.
  ...["ContainerConfig.CDI_devices", "CDIDevice.name"],
  ...[
    "RunPodSandboxRequest.",
    "UpdateContainerResourcesRequest.",
    "UpdatePodSandboxResourcesRequest.",
  ],
];

/** `Message.field` of the rows of docs/fields.md that say "works" for some node. */
function fieldsThatWork(): string[] {
  const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "fields.md"), "utf8");
  let message = "";
  const found = new Set<string>();
  for (const line of page.split("\n")) {
    message = /^## (\w+)$/.exec(line)?.[1] ?? message;
    const field = /^\| `(\w+)[=`].*\| works \|/.exec(line)?.[1];
    if (field !== undefined) found.add(`${message}.${field}`);
  }
  return [...found];
}

/** Names of all fields that a message and those within it have set. */
function fieldsSet(schema: DescMessage, message: Message, found: Set<string>): void {
  const reflected = reflect(schema, message);
  for (const field of reflected.sortedFields) {
    const value = (message as unknown as Record<string, unknown>)[field.localName];
    if (!reflected.isSet(field)) continue;
    found.add(`${schema.name}.${field.name}`);
    for (const inner of Array.isArray(value) ? value : [value]) {
      if (field.message !== undefined && isMessage(inner)) fieldsSet(field.message, inner, found);
    }
  }
}

const shown = [...accepted, ...knownFaults];

describe("the differential suite", () => {
  const points = differencesIn(readFileSync(differencesPage, "utf8")).map(({ point }) => point);

  it("accepts nothing that has no row in docs/differences.md", () => {
    const without = accepted.map(({ point }) => point).filter((point) => !points.includes(point));
    expect(without).to.deep.equal([]);
  });

  it("keeps faults apart from what is on purpose", () => {
    expect(knownFaults.filter(({ point }) => points.includes(point))).to.deep.equal([]);
  });

  it("names for each entry a configuration that there is", () => {
    const names = new Set(
      handPicked().flatMap(({ name, containers }) => [
        name,
        ...containers.map((one) => `${name} / ${one.name}`),
      ]),
    );
    expect(shown.filter(({ shownBy }) => !names.has(shownBy))).to.deep.equal([]);
  });

  it("sets every field that works, by hand or drawn", () => {
    const set = new Set<string>();
    for (const plan of [...handPicked(), ...drawn(1, 3000)]) {
      const sandbox = create(PodSandboxConfigSchema, sandboxOf(plan, "/log"));
      fieldsSet(PodSandboxConfigSchema, sandbox, set);
      for (const one of plan.containers) {
        const container = create(ContainerConfigSchema, containerOf(one));
        fieldsSet(ContainerConfigSchema, container, set);
      }
    }
    const missing = fieldsThatWork().filter(
      (field) => !set.has(field) && !elsewhere.some((prefix) => field.startsWith(prefix)),
    );
    expect(missing).to.deep.equal([]);
  });

  describe("accepts an error", () => {
    const names: [string, string][] = [];
    const ran: Outcome = { stage: "exited", names };
    const failed = (code: string, message: string): Outcome => ({
      ...{ stage: "CreateContainer", code, message, names },
    });
    const pointsFor = (
      container: ContainerInit,
      dockline: Outcome,
      containerd: Outcome,
    ): string[] => {
      const plan = { name: "p", sandbox: {}, containers: [] };
      const stages = { dockline: dockline.stage, containerd: containerd.stage };
      return pointsOf(
        { what: "outcome/stage", ...stages },
        { plan, container, dockline, containerd },
      );
    };
    const relative = "mounts[0].container_path: 'm' is not absolute";
    const shares = "shares 1 is invalid: the minimum allowed cpu-shares is 2";
    const bad = { mounts: [{ containerPath: "m", hostPath: "/x" }] };
    const one = { linux: { resources: { cpuShares: 1n } } };

    for (const [what, container, dockline, containerd, expected] of [
      ["of ours", bad, failed("INVALID_ARGUMENT", relative), ran, ["Relative mount points"]],
      ["of ours with another code", bad, failed("INTERNAL", relative), ran, []],
      ["of ours with another text", bad, failed("INVALID_ARGUMENT", "mounts"), ran, []],
      ["of ours without its cause", {}, failed("INVALID_ARGUMENT", relative), ran, []],
      [
        "of ours while containerd is away",
        ...[bad, failed("INVALID_ARGUMENT", relative), failed("UNAVAILABLE", "away"), []],
      ],
      ["of containerd", one, ran, failed("UNKNOWN", shares), ["CPU shares of 1"]],
      ["of containerd with another code", one, ran, failed("UNAVAILABLE", shares), []],
      ["of containerd without its cause", {}, ran, failed("UNKNOWN", shares), []],
      [
        "of containerd beside a failure of ours",
        ...[one, failed("UNAVAILABLE", "away"), failed("UNKNOWN", shares), []],
      ],
    ] as [string, ContainerInit, Outcome, Outcome, string[]][]) {
      it(`${expected.length === 0 ? "never" : "as one row's"}: ${what}`, () => {
        expect(pointsFor(container, dockline, containerd)).to.deep.equal(expected);
      });
    }
  });

  it("draws the same for the same seed", () => {
    expect(drawn(7, 20)).to.deep.equal(drawn(7, 20));
    expect(drawn(7, 20)).to.not.deep.equal(drawn(8, 20));
  });

  it("picks at least 60 configurations by hand", () => {
    const count = handPicked().reduce(
      (sum, { containers }) => sum + Math.max(1, containers.length),
      0,
    );
    expect(count).to.be.greaterThan(60);
  });
});
