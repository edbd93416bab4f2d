import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import {
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerInspect } from "../../src/engine/types.ts";
import { findBundle } from "../../src/containers/criu.ts";
import { inspect, procStatus, withContainer } from "../support/containers.ts";
import type { SecurityInit } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import { containerConfig, hostSandboxConfig, removePod, runPod, shell } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { ensureImage } from "../support/test-images.ts";
import { until } from "../support/until.ts";

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
const profiles = {
  usual: Profile.RuntimeDefault,
  none: Profile.Unconfined,
  own: Profile.Localhost,
} as const;
const contexts: fc.Arbitrary<Context> = fc.record({
  add: capabilityNames,
  drop: drops,
  prefix: fc.boolean(),
  readonlyRootfs: fc.boolean(),
  noNewPrivs: fc.boolean(),
  seccomp: fc.constantFrom(undefined, ...Object.values(profiles)),
  apparmor: fc.constantFrom(undefined, Profile.RuntimeDefault, Profile.Unconfined),
  pid: fc.constantFrom(NamespaceMode.CONTAINER, NamespaceMode.POD, NamespaceMode.NODE),
  ipc: fc.constantFrom(NamespaceMode.POD, NamespaceMode.NODE),
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
  apparmor: Profile | undefined;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  uid: bigint | undefined;
  gid: bigint | undefined;
  groups: bigint[];
  strict: boolean;
  masked: string[];
  readonly: string[];
}

function toSecurity(context: Context, ownProfile: string): SecurityInit {
  const spell = (name: string): string => (context.prefix && name !== "ALL" ? `CAP_${name}` : name);
  return {
    capabilities: {
      addCapabilities: context.add.map(spell),
      dropCapabilities: context.drop.map(spell),
    },
    readonlyRootfs: context.readonlyRootfs,
    noNewPrivs: context.noNewPrivs,
    namespaceOptions: { network: NamespaceMode.NODE, pid: context.pid, ipc: context.ipc },
    ...(context.seccomp === undefined
      ? {}
      : {
          seccomp: {
            profileType: context.seccomp,
            localhostRef: context.seccomp === Profile.Localhost ? ownProfile : "",
          },
        }),
    ...(context.apparmor === undefined ? {} : { apparmor: { profileType: context.apparmor } }),
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

const comm = (pid: number): string => readFileSync(`/proc/${pid}/comm`, "utf8").trim();

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
    filtered: context.seccomp === Profile.RuntimeDefault || context.seccomp === Profile.Localhost,
    noNewPrivs: context.noNewPrivs ? "1" : "0",
  };
}

interface OciSpec {
  process: {
    user: { uid: number; gid: number; additionalGids?: number[] };
    capabilities: { bounding?: string[]; ambient?: string[] };
    noNewPrivileges?: boolean;
  };
  root: { readonly?: boolean };
  linux: {
    maskedPaths?: string[];
    readonlyPaths?: string[];
    seccomp?: { syscalls?: { names: string[] }[] };
    namespaces: { type: string }[];
  };
}

/** A system call that busybox never makes, to know the test's own profile by. */
const noAcct = { names: ["acct"] as const, action: "SCMP_ACT_ERRNO" };

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
  let pausePid = 0;
  let apparmor = false;
  let folder: string;
  let profile: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "dockline-profile-"));
    profile = join(folder, "seccomp.json");
    writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [noAcct] }));
    node = await startNode({ withoutNetwork: true });
    await ensureImage(node.docker, users);
    pod = await runPod(node, hostSandboxConfig(node));
    pausePid = (await inspect(node, pod.podSandboxId)).State.Pid;
    const { SecurityOptions } = await node.docker.info();
    apparmor = (SecurityOptions ?? []).some((option) => option.includes("name=apparmor"));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it(`is what the process has, in ${rounds} random ones (DOCKLINE_SECURITY_SEED=${seed})`, async () => {
    const start = nodeState(node);
    let round = 0;
    const check = async (context: Context): Promise<void> => {
      round += 1;
      const config = containerConfig("sleep 1000", {
        metadata: { name: `x${round}` },
        image: { image: users },
        linux: { resources: {}, securityContext: toSecurity(context, profile) },
      });
      await withContainer(node, pod, config, async (containerId) => {
        const inspected = await inspect(node, containerId);
        // Docker's start is answered a moment before the runtime becomes the container's program.
        await until(() => comm(inspected.State.Pid) === "sleep");
        expectKernel(inspected.State.Pid, context);
        expectDocker(inspected, context);
        const bundle = findBundle(inspected.State.Pid, containerId);
        const text = readFileSync(join(bundle.folder, "config.json"), "utf8");
        expectOci(JSON.parse(text) as OciSpec, context);
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
    expect(procStatus(pid, "Seccomp")).to.equal(want.filtered ? "2" : "0");
    if (apparmor) {
      const confined = readFileSync(`/proc/${pid}/attr/current`, "utf8").replace(/[\n\0]/g, "");
      const free = context.apparmor === Profile.Unconfined;
      expect(confined).to.equal(free ? "unconfined" : "docker-default (enforce)");
    }
    const namespace = (of: number | "self", kind: string): string =>
      readlinkSync(`/proc/${of}/ns/${kind}`);
    expect(namespace(pid, "net")).to.equal(namespace("self", "net"));
    for (const [kind, mode] of [
      ["pid", context.pid],
      // IPC is the pod's, whatever a container says.
      ["ipc", NamespaceMode.POD],
    ] as const) {
      const owner = mode === NamespaceMode.NODE ? "self" : pausePid;
      const shared = namespace(pid, kind) === namespace(owner, kind);
      expect(shared, `${kind} namespace`).to.equal(mode !== NamespaceMode.CONTAINER);
    }
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
    expect(options.includes("seccomp=unconfined")).to.equal(!expected(context).filtered);
    expect(options.some((option) => option.includes(noAcct.names[0]))).to.equal(
      context.seccomp === Profile.Localhost,
    );
    expect(options.includes("apparmor=unconfined")).to.equal(
      context.apparmor === Profile.Unconfined,
    );
    expect(options.some((option) => option.includes("systempaths"))).to.equal(false);
  }

  /** What the OCI runtime got. */
  function expectOci({ process, root, linux }: OciSpec, context: Context): void {
    const want = expected(context);
    const names = Object.entries(numbers)
      .filter(([, number]) => (want.bounding & (1n << BigInt(number))) !== 0n)
      .map(([name]) => `CAP_${name}`);
    // Docker may name one twice.
    const bounding = [...new Set(process.capabilities.bounding)];
    expect(bounding.filter((name) => name.slice(4) in numbers)).to.have.members(names);
    expect(process.capabilities.ambient ?? []).to.deep.equal([]);
    expect(process.noNewPrivileges ?? false).to.equal(context.noNewPrivs);
    expect(process.user).to.include({ uid: Number(want.uid), gid: Number(want.gid) });
    const groups = [Number(want.gid), ...(process.user.additionalGids ?? [])];
    expect([...new Set(groups)].sort((a, b) => a - b)).to.deep.equal(want.groups);
    expect(root.readonly ?? false).to.equal(context.readonlyRootfs);
    expect(linux.maskedPaths ?? []).to.deep.equal(context.masked);
    expect(linux.readonlyPaths ?? []).to.deep.equal(context.readonly);
    expect(linux.seccomp !== undefined).to.equal(want.filtered);
    const own = linux.seccomp?.syscalls?.some(({ names: of }) => of.includes(noAcct.names[0]));
    if (context.seccomp === Profile.Localhost) expect(own).to.equal(true);
    expect(linux.namespaces.find(({ type }) => type === "user")).to.equal(undefined);
  }
});
