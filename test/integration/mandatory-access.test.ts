import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { SecurityProfile_ProfileType as Profile } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, inspect, withContainer } from "../support/containers.ts";
import { notHere, refused, works } from "../support/fields.ts";
import type { TestNode } from "../support/node.ts";
import { removePod, runPod, shell } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { fieldTools, sharedPod } from "../support/shared-pod.ts";

// AppArmor and SELinux, where the node has them.

const profilesFile = "/sys/kernel/security/apparmor/profiles";

describe("mandatory access control @cgroup2", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  let options: string[] = [];

  before(async () => {
    ({ node, pod } = shared);
    options = (await node.docker.info()).SecurityOptions ?? [];
  });
  const { config, secured, sandboxWith, create, refuse, runSandbox, pidOf } = fieldTools(shared);

  it("AppArmor is enforced, or refused on a node without it", async function () {
    this.timeout(120_000);
    const localhost = { profileType: Profile.Localhost, localhostRef: "dockline-test" };
    const rows = {
      field: "LinuxContainerSecurityContext.apparmor=Localhost",
      old: "LinuxContainerSecurityContext.apparmor_profile=localhost/",
      sandbox: "LinuxSandboxSecurityContext.apparmor=Localhost",
    };
    const old = secured({ apparmorProfile: "localhost/dockline-test" });
    const confinement = async (id: string): Promise<string> =>
      readFileSync(`/proc/${await pidOf(id)}/attr/current`, "utf8").replace(/[\n\0]/g, "");
    works(
      "SecurityProfile.profile_type=Unconfined, AppArmor",
      "SecurityProfile.profile_type=RuntimeDefault, AppArmor",
    );
    const enabled = options.some((option) => option.includes("name=apparmor"));
    const usual = { profileType: Profile.RuntimeDefault };
    const none = { profileType: Profile.Unconfined };
    await withContainer(node, pod, config(secured({ apparmor: usual })), async (id) => {
      if (enabled) expect(await confinement(id)).to.equal("docker-default (enforce)");
    });
    await withContainer(node, pod, config(secured({ apparmor: none })), async (id) => {
      if (enabled) expect(await confinement(id)).to.equal("unconfined");
    });
    const missing = create(secured({ apparmor: { ...localhost, localhostRef: "not-loaded" } }));
    if (!enabled) {
      await expectError(missing, "INVALID_ARGUMENT", /without AppArmor/);
      await refuse(rows.field, create(secured({ apparmor: localhost })), /without AppArmor/);
      await refuse(rows.old, create(old), /without AppArmor/);
      await refuse(rows.sandbox, runSandbox(sandboxWith({ apparmor: localhost })), /AppArmor/);
      refused("SecurityProfile.localhost_ref=AppArmor", "see the profile's own rows");
      return;
    }
    refused(
      "SecurityProfile.localhost_ref=AppArmor, not loaded",
      await expectError(missing, "INVALID_ARGUMENT", /not loaded/),
    );
    const lost = sandboxWith({ apparmor: { ...localhost, localhostRef: "not-loaded" } });
    await expectError(runSandbox(lost), "INVALID_ARGUMENT", /not loaded/);
    works(...Object.values(rows), "SecurityProfile.localhost_ref=AppArmor");
    const file = join(node.folder, "profile");
    writeFileSync(
      file,
      "profile dockline-test flags=(attach_disconnected,mediate_deleted) {\n  file,\n  network,\n  capability,\n  signal,\n  ptrace,\n  deny /forbidden w,\n}\n",
    );
    execFileSync("apparmor_parser", ["-r", "-W", file]);
    try {
      expect(readFileSync(profilesFile, "utf8")).to.include("dockline-test (enforce)");
      for (const fields of [secured({ apparmor: localhost }), old]) {
        await withContainer(node, pod, config(fields), async (id) => {
          expect(await confinement(id)).to.equal("dockline-test (enforce)");
          const seen = await shell(node, id, "(echo >/forbidden) 2>&1; echo >/allowed && echo may");
          expect(seen).to.match(/denied.*\nmay$/s);
        });
      }
      const confined = await runPod(node, sandboxWith({ apparmor: localhost }));
      expect(await confinement(confined.podSandboxId)).to.equal("dockline-test (enforce)");
      await removePod(node, confined);
    } finally {
      execFileSync("apparmor_parser", ["-R", file]);
    }
  });

  it("SELinux: malformed labels are refused everywhere", async () => {
    const parts = ["user", "role", "type", "level"] as const;
    for (const part of parts) {
      const selinuxOptions = { [part]: "not a label" };
      await expectError(create(secured({ selinuxOptions })), "INVALID_ARGUMENT", /selinux_options/);
      await expectError(runSandbox(sandboxWith({ selinuxOptions })), "INVALID_ARGUMENT", /selinux/);
    }
    const selinux = options.some((option) => option.includes("name=selinux"));
    expect(selinux, "no lane has SELinux").to.equal(false);
    const why =
      "the node has no SELinux: a well-formed label changes nothing, as with containerd; a malformed one is refused at create";
    const selinuxOptions = { user: "system_u", role: "system_r", type: "container_t", level: "s0" };
    await withContainer(node, pod, config(secured({ selinuxOptions })), async (id) => {
      expect((await inspect(node, id)).HostConfig.SecurityOpt).to.include("label=level:s0");
    });
    notHere(
      undefined,
      [
        "LinuxSandboxSecurityContext.selinux_options",
        "LinuxContainerSecurityContext.selinux_options",
        "Mount.selinux_relabel",
        ...parts.map((part) => `SELinuxOption.${part}`),
      ],
      why,
    );
    const mounts = [{ hostPath: node.folder, containerPath: "/v", selinuxRelabel: true }];
    await withContainer(node, pod, config({ mounts }), async (containerId) => {
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.mounts[0]?.selinuxRelabel).to.equal(true);
    });
  });
});
