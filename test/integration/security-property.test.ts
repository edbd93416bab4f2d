import { readFileSync } from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import {
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerInspect } from "../../src/engine/types.ts";
import { inspect, procStatus, withContainer } from "../support/containers.ts";
import type { SecurityInit } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import { containerConfig, hostSandboxConfig, removePod, runPod, shell } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { ensureImage } from "../support/test-images.ts";

const users = "dockline.test/users:1";
const rounds = Number(process.env["DOCKLINE_SECURITY_ROUNDS"] ?? "30");
const seed = Number(process.env["DOCKLINE_SECURITY_SEED"] ?? "20260401");

/** Numbers of the capabilities that the test plays with, and those that Docker gives unasked. */
const numbers: Record<string, number> = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  KILL: 5,
  SETGID: 6,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_TIME: 25,
  MKNOD: 27,
};
const dockerDefault = 0xa80425fbn;

const capabilityNames = fc.uniqueArray(fc.constantFrom(...Object.keys(numbers)), { maxLength: 4 });
const drops: fc.Arbitrary<string[]> = fc.oneof(
  { weight: 3, arbitrary: capabilityNames },
  { weight: 1, arbitrary: fc.constant<string[]>(["ALL"]) },
);
const contexts: fc.Arbitrary<Context> = fc.record({
  add: capabilityNames,
  drop: drops,
  prefix: fc.boolean(),
  readonlyRootfs: fc.boolean(),
  noNewPrivs: fc.boolean(),
  seccomp: fc.constantFrom(undefined, Profile.RuntimeDefault, Profile.Unconfined),
  uid: fc.option(fc.constantFrom(0n, 1000n, 1001n, 2147483647n), { nil: undefined }),
  gid: fc.option(fc.constantFrom(0n, 1000n, 3000n), { nil: undefined }),
  groups: fc.uniqueArray(fc.constantFrom(7n, 1000n, 50000n, 2147483647n), { maxLength: 3 }),
  strict: fc.boolean(),
  masked: fc.subarray(["/proc/keys", "/proc/timer_list", "/sys/firmware"]),
  readonly: fc.subarray(["/proc/sys", "/proc/bus", "/proc/irq"]),
});
interface Context {
  add: string[];
  drop: string[];
  prefix: boolean;
  readonlyRootfs: boolean;
  noNewPrivs: boolean;
  seccomp: Profile | undefined;
  uid: bigint | undefined;
  gid: bigint | undefined;
  groups: bigint[];
  strict: boolean;
  masked: string[];
  readonly: string[];
}

function toSecurity(context: Context): SecurityInit {
  const spell = (name: string): string => (context.prefix && name !== "ALL" ? `CAP_${name}` : name);
  return {
    capabilities: {
      addCapabilities: context.add.map(spell),
      dropCapabilities: context.drop.map(spell),
    },
    readonlyRootfs: context.readonlyRootfs,
    noNewPrivs: context.noNewPrivs,
    ...(context.seccomp === undefined ? {} : { seccomp: { profileType: context.seccomp } }),
    ...(context.uid === undefined ? {} : { runAsUser: { value: context.uid } }),
    ...(context.gid === undefined || context.uid === undefined
      ? {}
      : { runAsGroup: { value: context.gid } }),
    supplementalGroups: context.groups,
    supplementalGroupsPolicy: context.strict ? Policy.Strict : Policy.Merge,
    maskedPaths: context.masked,
    readonlyPaths: context.readonly,
  };
}

/** What the kernel should say, worked out from the request alone. */
function expected(context: Context) {
  const mask = (names: string[]): bigint =>
    names.reduce((bits, name) => bits | (1n << BigInt(numbers[name] ?? 0)), 0n);
  const dropped = context.drop.filter((name) => name !== "ALL");
  const base = context.drop.includes("ALL") ? 0n : dockerDefault & ~mask(dropped);
  const uid = context.uid ?? 1000n;
  const isWeb = uid === 1000n;
  const asked = context.uid === undefined ? undefined : context.gid;
  const gid = asked ?? (isWeb ? 1000n : 0n);
  const members = isWeb && !context.strict ? [50000n] : [];
  return {
    // What is both dropped and added is added: Docker adds last.
    bounding: base | mask(context.add),
    uid,
    gid,
    groups: [...new Set([gid, ...context.groups, ...members])].map(Number).sort((a, b) => a - b),
    seccomp: context.seccomp === Profile.RuntimeDefault ? "2" : "0",
    noNewPrivs: context.noNewPrivs ? "1" : "0",
  };
}

/** Mount points of a process with their own (not the file system's) options. */
function mountsOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  return new Map(
    lines.map((line) => {
      const [, , , , at = "", options = ""] = line.split(" ");
      return [at, options] as const;
    }),
  );
}

describe("any security context", () => {
  let node: TestNode;
  let pod: RunningPod;

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    await ensureImage(node.docker, users);
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });

  it(`is what the process has, in ${rounds} random ones (DOCKLINE_SECURITY_SEED=${seed})`, async () => {
    const start = nodeState(node);
    let round = 0;
    const check = async (context: Context): Promise<void> => {
      round += 1;
      const config = containerConfig("sleep 1000", {
        metadata: { name: `x${round}` },
        image: { image: users },
        linux: { resources: {}, securityContext: toSecurity(context) },
      });
      await withContainer(node, pod, config, async (containerId) => {
        const inspected = await inspect(node, containerId);
        expectKernel(inspected.State.Pid, context);
        expectDocker(inspected, context);
        const { status } = await node.runtime.containerStatus({ containerId });
        const want = expected(context);
        expect([status?.user?.linux?.uid, status?.user?.linux?.gid]).to.deep.equal([
          want.uid,
          want.gid,
        ]);
        const inExec = (await shell(node, containerId, "id -G")).split(" ").map(Number);
        expect([...new Set(inExec)].sort((a, b) => a - b)).to.deep.equal(want.groups);
      });
    };
    const samples = fc.sample(contexts, { numRuns: rounds, seed });
    const workers = Array.from({ length: 6 }, async () => {
      for (let next = samples.pop(); next !== undefined; next = samples.pop()) {
        const context = fc.stringify(next);
        await check(next).catch((error: unknown) => {
          throw new Error(`${context}: ${String(error)}`, { cause: error });
        });
      }
    });
    await Promise.all(workers);
    await expectNothingLeft(node, start);
  }).timeout(rounds * 4000);

  function expectKernel(pid: number, context: Context): void {
    const want = expected(context);
    const bounding = BigInt(`0x${procStatus(pid, "CapBnd")}`);
    expect(bounding.toString(16)).to.equal(want.bounding.toString(16));
    const effective = BigInt(`0x${procStatus(pid, "CapEff")}`);
    expect(effective).to.equal(want.uid === 0n ? want.bounding : 0n);
    expect(BigInt(`0x${procStatus(pid, "CapAmb")}`)).to.equal(0n);
    expect(procStatus(pid, "NoNewPrivs")).to.equal(want.noNewPrivs);
    expect(procStatus(pid, "Seccomp")).to.equal(want.seccomp);
    expect(procStatus(pid, "Uid").split(/\s+/)).to.deep.equal(Array(4).fill(String(want.uid)));
    expect(procStatus(pid, "Gid").split(/\s+/)).to.deep.equal(Array(4).fill(String(want.gid)));
    const groups = procStatus(pid, "Groups").split(" ").filter(Boolean).map(Number);
    expect([...new Set([Number(want.gid), ...groups])].sort((a, b) => a - b)).to.deep.equal(
      want.groups,
    );
    const mounts = mountsOf(pid);
    const isReadonly = (at: string): boolean => mounts.get(at)?.split(",").includes("ro") === true;
    expect(isReadonly("/")).to.equal(context.readonlyRootfs);
    for (const path of ["/proc/sys", "/proc/bus", "/proc/irq"]) {
      expect(isReadonly(path), path).to.equal(context.readonly.includes(path));
    }
    for (const path of ["/proc/keys", "/proc/timer_list"]) {
      expect(mounts.has(path), path).to.equal(context.masked.includes(path));
    }
  }

  function expectDocker(inspected: ContainerInspect, context: Context): void {
    const host = inspected.HostConfig;
    expect(host).to.include({ Privileged: false, ReadonlyRootfs: context.readonlyRootfs });
    expect(host.MaskedPaths).to.deep.equal(context.masked);
    expect(host.ReadonlyPaths).to.deep.equal(context.readonly);
    const options = host.SecurityOpt ?? [];
    expect(options.includes("no-new-privileges")).to.equal(context.noNewPrivs);
    const isDefault = context.seccomp === Profile.RuntimeDefault;
    expect(options.includes("seccomp=unconfined")).to.equal(!isDefault);
    expect(options.some((option) => /systempaths|apparmor=unconfined/.test(option))).to.equal(
      false,
    );
  }
});
