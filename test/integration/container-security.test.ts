import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { withLaneRuntime } from "../support/lane-runtime.ts";
import {
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import {
  expectError,
  inspect,
  procStatus,
  runToEnd,
  withContainer,
} from "../support/containers.ts";
import type { SecurityInit } from "../support/containers.ts";
import { works } from "../support/fields.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  shell,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { ensureImage } from "../support/test-images.ts";

const users = "dockline.test/users:1";
const pidOfContainer = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };
/** CAP_CHOWN is 0, CAP_NET_RAW 13, CAP_SYS_ADMIN 21. */
const bit = (mask: string, number: number): boolean =>
  (BigInt(`0x${mask}`) & (1n << BigInt(number))) !== 0n;

describe("a container's security context", () => {
  let node: TestNode;
  let pod: RunningPod;
  let privilegedPod: RunningPod;
  let count = 0;
  const config = (
    line: string,
    security: SecurityInit,
    fields: ContainerInit = {},
  ): ContainerInit => {
    count += 1;
    return containerConfig(line, {
      metadata: { name: `s${count}` },
      linux: { resources: {}, securityContext: { ...pidOfContainer, ...security } },
      ...fields,
    });
  };
  const output = async (line: string, security: SecurityInit, fields: ContainerInit = {}) => {
    const { out, err } = await runToEnd(node, pod, config(line, security, fields));
    return out + err;
  };
  const refused = (security: SecurityInit, message: RegExp, fields: ContainerInit = {}) =>
    expectError(
      createContainer(node, pod, config("true", security, fields)),
      "INVALID_ARGUMENT",
      message,
    );

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    await ensureImage(node.docker, users);
    pod = await runPod(node, hostSandboxConfig(node));
    privilegedPod = await runPod(
      node,
      hostSandboxConfig(node, {
        linux: {
          securityContext: {
            privileged: true,
            namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER },
          },
        },
      }),
    );
    // The image's accounts are read through a scratch container: once, and not seen by the oracle.
    await runToEnd(
      node,
      pod,
      config("true", { supplementalGroupsPolicy: Policy.Strict }, { image: { image: users } }),
    );
  });
  after(async () => {
    await removePod(node, pod);
    await removePod(node, privilegedPod);
    await node.close();
  });
  leavesNothing(() => node);

  it("runs as the image's user, or as the uid, gid or name that was asked", async () => {
    works(
      "LinuxContainerSecurityContext.run_as_user",
      "LinuxContainerSecurityContext.run_as_group",
      "LinuxContainerSecurityContext.run_as_username",
    );
    const image = { image: { image: users } };
    const ids = "echo $(id -u) $(id -g)";
    expect(await output(ids, {}, image)).to.equal("1000 1000\n");
    expect(await output(ids, {})).to.equal("0 0\n");
    expect(await output(ids, { runAsUser: { value: 0n } }, image)).to.equal("0 0\n");
    expect(await output(ids, { runAsUser: { value: 1234n } })).to.equal("1234 0\n");
    expect(await output(ids, { runAsUsername: "web" }, image)).to.equal("1000 1000\n");
    expect(
      await output(ids, { runAsUser: { value: 2147483647n }, runAsGroup: { value: 77n } }),
    ).to.equal("2147483647 77\n");
  });

  it("refuses users that would overflow, wrap or do not exist", async () => {
    for (const value of [-1n, 2147483648n, 4294967296n, 9007199254740993n]) {
      await refused({ runAsUser: { value } }, /run_as_user/);
      await refused({ runAsUser: { value: 1n }, runAsGroup: { value } }, /run_as_group/);
      await refused({ supplementalGroups: [value] }, /supplemental_groups/);
    }
    await refused({ runAsGroup: { value: 5n } }, /run_as_group/);
    await refused({ runAsUsername: "4294967296" }, /run_as_username/);
    await refused({ runAsUsername: "0:0" }, /run_as_username/);
  });

  it("has exactly the groups of its policy, in the container, in exec and in the status", async () => {
    works(
      "LinuxContainerSecurityContext.supplemental_groups",
      "LinuxContainerSecurityContext.supplemental_groups_policy=Merge",
      "LinuxContainerSecurityContext.supplemental_groups_policy=Strict",
    );
    const image = { image: { image: users } };
    const cases: [SecurityInit, ContainerInit, number[], number[]][] = [
      [{ supplementalGroups: [7n] }, image, [1000, 1000], [7, 1000, 50000]],
      [
        { supplementalGroups: [7n], supplementalGroupsPolicy: Policy.Strict },
        image,
        [1000, 1000],
        [7, 1000],
      ],
      [
        { runAsUser: { value: 1000n }, runAsGroup: { value: 3000n }, supplementalGroups: [7n] },
        image,
        [1000, 3000],
        [7, 3000, 50000],
      ],
      [
        {
          runAsUser: { value: 1000n },
          runAsGroup: { value: 3000n },
          supplementalGroupsPolicy: Policy.Strict,
        },
        image,
        [1000, 3000],
        [3000],
      ],
      [{ runAsUser: { value: 4321n }, supplementalGroups: [9n, 8n] }, {}, [4321, 0], [0, 8, 9]],
    ];
    for (const [security, fields, [uid, gid], groups] of cases) {
      await withContainer(
        node,
        pod,
        config("sleep 1000", security, fields),
        async (containerId) => {
          const inside = (await shell(node, containerId, "id -G")).split(" ").map(Number);
          expect([...new Set(inside)].sort((a, b) => a - b)).to.deep.equal(groups);
          const { status } = await node.runtime.containerStatus({ containerId });
          const shown = status?.user?.linux;
          expect([Number(shown?.uid), Number(shown?.gid)]).to.deep.equal([uid, gid]);
          const all = new Set([gid, ...(shown?.supplementalGroups ?? []).map(Number)]);
          expect([...all].sort((a, b) => Number(a) - Number(b))).to.deep.equal(groups);
          const { State } = await node.docker.inspectContainer(containerId);
          const init = procStatus(State.Pid, "Groups").split(" ").filter(Boolean).map(Number);
          expect([...new Set([gid, ...init])].sort((a, b) => Number(a) - Number(b))).to.deep.equal(
            groups,
          );
        },
      );
    }
  });

  it("has the capabilities that were added and dropped", async () => {
    works("Capability.add_capabilities", "Capability.drop_capabilities");
    const bounding = async (add: string[], drop: string[]): Promise<string> =>
      (
        await output("awk '/CapBnd/{print $2}' /proc/self/status", {
          capabilities: { addCapabilities: add, dropCapabilities: drop },
        })
      ).trim();
    const usual = await bounding([], []);
    expect([bit(usual, 0), bit(usual, 13), bit(usual, 21)]).to.deep.equal([true, true, false]);
    expect(await bounding([], ["ALL"])).to.equal("0000000000000000");
    expect(await bounding(["NET_ADMIN"], ["ALL"])).to.equal("0000000000001000");
    const changed = await bounding(["SYS_ADMIN"], ["CHOWN", "CAP_NET_RAW"]);
    expect([bit(changed, 0), bit(changed, 13), bit(changed, 21)]).to.deep.equal([
      false,
      false,
      true,
    ]);
    // Not every host may give CAP_SYS_RESOURCE.
    const all = await bounding(["ALL"], ["SYS_TIME", "SYS_RESOURCE"]);
    expect([bit(all, 0), bit(all, 21), bit(all, 25)]).to.deep.equal([true, true, false]);
    await refused({ capabilities: { addCapabilities: ["NO_SUCH"] } }, /NO_SUCH/);
    if (!withLaneRuntime) {
      await refused({ capabilities: { addAmbientCapabilities: ["NET_ADMIN"] } }, /ambient/);
    }
  });

  it("is privileged only in a privileged sandbox", async () => {
    await refused({ privileged: true }, /privileged/);
    await withContainer(node, privilegedPod, config("true", {}), async (containerId) => {
      expect((await node.docker.inspectContainer(containerId)).HostConfig.Privileged).to.equal(
        false,
      );
    });
    const plain = await runToEnd(node, privilegedPod, config("[ -e /dev/kmsg ] || echo no", {}));
    expect(plain.out).to.equal("no\n");
    const asked = config("sleep 1000", { privileged: true, noNewPrivs: true });
    const containerId = await createContainer(node, privilegedPod, asked);
    const { HostConfig: host } = await node.docker.inspectContainer(containerId);
    expect(host).to.include({ Privileged: true });
    expect(host.SecurityOpt).to.include("seccomp=unconfined");
    await node.runtime.removeContainer({ containerId });
  });

  it("sees the node's devices and may mount when privileged", async function () {
    // runc gives a privileged container every capability and fails where the host has not got one.
    if (!bit(procStatus("self", "CapBnd"), 24)) this.skip();
    const line =
      "[ -e /dev/kmsg ] && echo kmsg; awk '/Seccomp:/{print $2}' /proc/self/status; mkdir /m; mount -t tmpfs x /m && echo mounted";
    const { out } = await runToEnd(node, privilegedPod, config(line, { privileged: true }));
    expect(out).to.equal("kmsg\n0\nmounted\n");
  });

  it("has a read-only root when asked", async () => {
    works("LinuxContainerSecurityContext.readonly_rootfs");
    const line = "touch /x 2>&1; mkdir -p /home/y 2>&1; echo $?";
    expect(await output(line, { readonlyRootfs: true })).to.match(/Read-only.*Read-only.*\n1\n/s);
    expect(await output(line, {})).to.equal("0\n");
  });

  it("masks and write-protects exactly the paths in the request", async () => {
    works(
      "LinuxContainerSecurityContext.masked_paths",
      "LinuxContainerSecurityContext.readonly_paths",
    );
    const line =
      "awk '$2 ~ \"^/(proc|sys)/\" {print $2, substr($4,1,2)}' /proc/mounts | sort | tr '\\n' ';'; (echo x >/proc/sys/kernel/sem) 2>&1 | grep -c Read-only";
    expect(await output(line, { maskedPaths: [], readonlyPaths: [] })).to.not.include("/proc/sys ");
    const unmasked = await output("wc -c </proc/keys; wc -l </proc/timer_list", {
      maskedPaths: [],
    });
    expect(unmasked).to.not.match(/^0\n0\n/);
    const both = {
      maskedPaths: ["/proc/keys", "/sys/firmware", "/no/such"],
      readonlyPaths: ["/proc/sys"],
    };
    const found = await output(line, both);
    expect(found).to.match(/\/proc\/keys /);
    expect(found).to.match(/\/proc\/sys ro/);
    expect(found).to.match(/1\n$/);
    expect(await output("wc -c </proc/keys; ls /sys/firmware | wc -l", both)).to.equal("0\n0\n");
    await refused({ maskedPaths: ["proc/keys"] }, /masked_paths/);
    await refused({ readonlyPaths: ["../x"] }, /readonly_paths/);
  });

  it("has the seccomp profile that was asked, and none when none was", async () => {
    works(
      "LinuxContainerSecurityContext.seccomp",
      "LinuxContainerSecurityContext.seccomp_profile_path",
      "SecurityProfile.profile_type=RuntimeDefault, seccomp",
      "SecurityProfile.profile_type=Localhost, seccomp",
      "SecurityProfile.localhost_ref=seccomp",
    );
    const mode = "awk '/Seccomp:/{print $2}' /proc/self/status";
    const chmod = `${mode}; touch /f; chmod 700 /f 2>&1 || echo denied`;
    expect(await output(mode, {})).to.equal("0\n");
    expect(await output(mode, { seccomp: { profileType: Profile.RuntimeDefault } })).to.equal(
      "2\n",
    );
    const folder = join(node.folder, "seccomp");
    mkdirSync(folder, { recursive: true });
    const profile = join(folder, "no-chmod.json");
    writeFileSync(
      profile,
      JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["chmod", "fchmod", "fchmodat"], action: "SCMP_ACT_ERRNO" }],
      }),
    );
    const localhost = (localhostRef: string): SecurityInit => ({
      seccomp: { profileType: Profile.Localhost, localhostRef },
    });
    expect(await output(chmod, localhost(profile))).to.match(/^2\n.*denied\n$/s);
    expect(await output(chmod, { seccompProfilePath: `localhost/${profile}` })).to.match(
      /denied\n$/,
    );
    // JavaScript would round the numbers; with the second one rounded Docker refuses the profile.
    const args =
      '[{"index":0,"value":9007199254740993,"valueTwo":18446744073709551615,"op":"SCMP_CMP_EQ"}]';
    const large = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ERRNO","args":${args}}]}`;
    writeFileSync(join(folder, "numbers.json"), large.replaceAll(",", ", "));
    await withContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        metadata: { name: "numbers" },
        linux: { resources: {}, securityContext: localhost(join(folder, "numbers.json")) },
      }),
      async (id) => {
        const { HostConfig } = await inspect(node, id);
        expect(HostConfig.SecurityOpt).to.include(`seccomp=${large}`);
      },
    );
    writeFileSync(join(folder, "text"), "not json");
    writeFileSync(join(folder, "large"), "x".repeat((1 << 20) + 1));
    await refused(localhost(join(folder, "missing.json")), /cannot be read/);
    await refused(localhost(folder), /not a regular file/);
    await refused(localhost("/dev/zero"), /not a regular file/);
    await refused(localhost(join(folder, "text")), /JSON/);
    await refused(localhost(join(folder, "large")), /larger/);
    await refused(localhost("relative.json"), /localhost_ref/);
    await refused({ seccompProfilePath: "no-such-word" }, /seccomp_profile_path/);
  });

  it("has the devices that were asked, with their permissions", async () => {
    works("Device.host_path", "Device.container_path", "Device.permissions");
    const devices = [
      { hostPath: "/dev/zero", containerPath: "/dev/my-zero", permissions: "r" },
      { hostPath: "/dev/null", containerPath: "/dev/my-null", permissions: "rwm" },
    ];
    const line =
      "[ -c /dev/my-zero ] && [ -c /dev/my-null ] && echo both; head -c 3 /dev/my-zero | wc -c; echo x >/dev/my-null && echo w; (echo x >/dev/my-zero) 2>&1 | grep -o 'not permitted'";
    // /dev/zero and /dev/null are always permitted by number: only the nodes can be seen.
    expect(await output(line, {}, { devices })).to.match(/^both\n3\nw\n/);
    const kmsg = [{ hostPath: "/dev/kmsg", containerPath: "/dev/kmsg", permissions: "r" }];
    const write =
      "(echo x >/dev/kmsg) 2>&1 | grep -o 'not permitted'; [ -c /dev/kmsg ] && echo there";
    expect(await output(write, {}, { devices: kmsg })).to.equal("not permitted\nthere\n");
    await refused({}, /permissions/, { devices: [{ ...kmsg[0], permissions: "x" }] });
    await refused({}, /host_path/, {
      devices: [{ hostPath: "", containerPath: "/dev/x", permissions: "r" }],
    });
  });
});
