import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  MountPropagation,
  NamespaceMode,
  Protocol,
  SecurityProfile_ProfileType as Profile,
  Signal,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { LinuxSandboxSecurityContextSchema } from "../../src/gen/runtime/v1/api_pb.js";
import type { ResourcesInit, SecurityInit } from "../support/containers.ts";
import type { ContainerInit, SandboxInit } from "../support/pods.ts";
import { capabilityNumbers } from "./capabilities.ts";
import { kubeletPaths } from "./kubelet-paths.ts";
import { withoutCarrying } from "./plan.ts";
import type { PodPlan } from "./plan.ts";
import { probeImage, richImage } from "./probe-image.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const int = (value: bigint) => ({ value });

/** A value in one of `often` configurations; mostly the field is left out, so that most containers run. */
const at = <T>(often: number, values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof(
    { weight: often - 1, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: values },
  );
const of = fc.constantFrom;

/** Leaves out what is undefined: the messages' fields take no such value. */
function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== undefined),
  ) as never;
}
const some = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K] | undefined> }) =>
  fc.record(fields as never).map((value) => present(value) as T);

const text = fc.oneof(
  of("", "a", "two words", "ü", "$(HOME)", "--", "*", "'\"\\", "a\tb", "#"),
  fc.string({ unit: "grapheme-ascii", maxLength: 12 }),
);
const labelKey = of("a", "a/b", "io.kubernetes.x", "constructor", "__proto__");

const env = fc.record({
  key: fc.oneof(of("A", "B", "PATH", "HOME", "HOSTNAME", "x.y-z", "BOTH"), of("", "A=B")),
  value: fc.oneof(text.filter((one) => !one.includes("\0")).map(bytes), of(Uint8Array.of(0xff))),
});

const source = of(
  ...["dir", "other", "file", "private", "tree", "link", "absolute-link", "link-to-link"],
  ...[
    "dangling",
    "not/there",
    "with blank, comma:colon",
    "dir/../other/",
    "seccomp.json",
    "file/x",
  ],
);
const target = of(
  ...[
    "/m",
    "/m/",
    "/m/inner",
    "/n",
    "/data",
    "/data/from-image",
    "/opt/link",
    "/etc/hosts",
    "/tmp",
  ],
  ...["/etc/resolv.conf", "/dev/shm", "/dev/termination-log", "/a b/c", "/m/../n", "/etc/hostname"],
);
const mount = some<NonNullable<ContainerInit["mounts"]>[number]>({
  hostPath: source.map((name) => `$SRC/${name}`),
  containerPath: target,
  readonly: of(true, false),
  propagation: at(
    4,
    of(
      MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      MountPropagation.PROPAGATION_BIDIRECTIONAL,
      MountPropagation.PROPAGATION_PRIVATE,
    ),
  ),
  selinuxRelabel: at(6, of(true)),
});

const device = fc.record({
  hostPath: of("/dev/full", "/dev/zero", "/dev/null", "/dev/pts", "/dev/none", "$SRC/file"),
  containerPath: of("/dev/full", "/dev/brimming", "/data/device", "/dev/sub/full"),
  permissions: of("rwm", "r", "rw", "mrw", "", "x"),
});

const capabilityName = fc
  .tuple(of(...Object.keys(capabilityNumbers)), of("", "", "", "CAP_", "lower"))
  .map(([name, form]) => (form === "lower" ? name.toLowerCase() : form + name));
const capabilities = fc.oneof(
  { weight: 5, arbitrary: fc.uniqueArray(capabilityName, { maxLength: 4 }) },
  { weight: 1, arbitrary: of<string[]>(["ALL"]) },
  { weight: 1, arbitrary: of<string[]>(["NOT_ONE"]) },
);

const profile = fc.oneof(
  of({ profileType: Profile.RuntimeDefault }, { profileType: Profile.Unconfined }),
  of("$SRC/seccomp.json", "$SRC/none.json", "$SRC/file").map((localhostRef) => ({
    profileType: Profile.Localhost,
    localhostRef,
  })),
);
const path = of("/proc/keys", "/proc/sys", "/etc/group", "/data", "/none", "/sys/firmware");

const ids = of(0n, 1n, 1000n, 1001n, 4242n, 65534n, 2147483647n);
const groupIds = of(0n, 7n, 1000n, 50000n, 50001n, 2147483647n);

/** The network mode of a container is the pod's: the kubelet never sends another. */
const security = (pod: SandboxInit): fc.Arbitrary<SecurityInit> =>
  some<SecurityInit>({
    namespaceOptions: of({
      ...pod.linux?.securityContext?.namespaceOptions,
    }),
    runAsUser: at(2, fc.oneof({ weight: 9, arbitrary: ids }, of(-1n, 1n << 32n)).map(int)),
    runAsGroup: at(4, groupIds.map(int)),
    runAsUsername: at(8, of("web", "root", "other", "nobody-there", "1001")),
    supplementalGroups: at(3, fc.array(groupIds, { maxLength: 3 })),
    supplementalGroupsPolicy: at(3, of(Policy.Strict, Policy.Merge)),
    capabilities: at(
      2,
      some({
        addCapabilities: at(2, capabilities),
        dropCapabilities: at(2, capabilities),
      }),
    ),
    readonlyRootfs: at(4, of(true)),
    noNewPrivs: at(3, of(true)),
    maskedPaths: fc.oneof(
      of(kubeletPaths.maskedPaths),
      fc.subarray(["/proc/keys", "/etc/group", "/data", "/none"]),
    ),
    readonlyPaths: fc.oneof(of(kubeletPaths.readonlyPaths), fc.uniqueArray(path, { maxLength: 3 })),
    seccomp: at(2, profile),
    apparmor: at(
      8,
      of({ profileType: Profile.RuntimeDefault }, { profileType: Profile.Unconfined }),
    ),
  });

const inherited = (pod: SandboxInit): SecurityInit => ({
  namespaceOptions: { ...pod.linux?.securityContext?.namespaceOptions },
});
const isOrdinary = (pod: SandboxInit): boolean => {
  const { network, pid, ipc } = pod.linux?.securityContext?.namespaceOptions ?? {};
  return network === NamespaceMode.POD && pid === NamespaceMode.POD && ipc === NamespaceMode.POD;
};

const resources = some<ResourcesInit>({
  cpuShares: at(2, of(2n, 100n, 1024n, 262144n, 1n, 0n)),
  cpuQuota: at(3, of(-1n, 1000n, 20000n, 100000n, 999n)),
  cpuPeriod: at(4, of(1000n, 20000n, 50000n)),
  memoryLimitInBytes: at(3, of(-1n, 16_777_216n, 67_108_864n, 100_000_001n, 1n << 40n)),
  memorySwapLimitInBytes: at(6, of(-1n, 67_108_864n, 134_217_728n)),
  oomScoreAdj: at(2, of(-998n, -1n, 2n, 500n, 1000n, 1001n)),
  cpusetCpus: at(5, of("0", "0-1", "0,1", "77", "x")),
  cpusetMems: at(8, of("0", "9")),
});

const container = (pod: SandboxInit): fc.Arbitrary<ContainerInit> =>
  some<ContainerInit>({
    image: of({ image: probeImage }, { image: richImage }),
    command: at(6, of(["/bin/probe"], ["probe", "x"], ["/bin/none"])),
    args: at(
      3,
      fc.array(
        text.filter((one) => !one.includes("\0")),
        { maxLength: 3 },
      ),
    ),
    workingDir: at(4, of("/data", "/made/here", "/opt/link", "/etc/passwd", "data", "/data/..//")),
    envs: at(2, fc.array(env, { maxLength: 3 })),
    mounts: at(2, fc.array(mount, { maxLength: 3 })),
    devices: at(6, fc.array(device, { maxLength: 2 })),
    labels: at(4, fc.dictionary(labelKey, text, { maxKeys: 2 })),
    annotations: at(4, fc.dictionary(labelKey, text, { maxKeys: 2 })),
    stdin: at(5, of(true)),
    stdinOnce: at(5, of(true)),
    tty: at(6, of(true)),
    stopSignal: at(4, of(Signal.SIGINT, Signal.SIGRTMIN, Signal.SIGKILL)),
    linux: fc.oneof(
      {
        weight: 12,
        arbitrary: some({ resources: resources, securityContext: security(pod) }),
      },
      // Without one a container has namespaces of its own, which the kubelet asks for in ordinary pods only.
      {
        weight: 1,
        arbitrary: of(isOrdinary(pod) ? undefined : { securityContext: inherited(pod) }),
      },
    ),
  } as never);

const port = fc.record({
  protocol: of(Protocol.TCP, Protocol.UDP, Protocol.SCTP),
  containerPort: of(80, 8080, 65535),
  hostPort: of(0, 0, 28080),
  hostIp: of("", "127.0.0.1", "0.0.0.0"),
});

/** Of the pause process, which nothing of the pod's own runs in. */
const pauseSecurity = some<SandboxSecurity>({
  runAsUser: at(4, of(0n, 1000n, -1n).map(int)),
  runAsGroup: at(6, of(0n, 1000n).map(int)),
  readonlyRootfs: at(3, of(true)),
  supplementalGroups: at(4, fc.array(groupIds, { maxLength: 2 })),
  supplementalGroupsPolicy: at(4, of(Policy.Strict)),
  seccomp: at(3, profile),
  apparmor: at(12, of({ profileType: Profile.Unconfined })),
  seccompProfilePath: at(8, of("runtime/default", "unconfined")),
});
type SandboxSecurity = Exclude<MessageInitShape<typeof LinuxSandboxSecurityContextSchema>, Message>;

const pod: fc.Arbitrary<SandboxInit> = fc
  .record({
    security: pauseSecurity,
    ports: fc.array(port, { maxLength: 2 }),
    attempt: of(0, 0, 3),
    labels: at(3, fc.dictionary(labelKey, text, { maxKeys: 2 })),
    annotations: at(3, fc.dictionary(labelKey, text, { maxKeys: 2 })),
    network: of(NamespaceMode.POD, NamespaceMode.POD, NamespaceMode.NODE),
    pid: of(
      NamespaceMode.CONTAINER,
      NamespaceMode.CONTAINER,
      NamespaceMode.NODE,
      NamespaceMode.POD,
    ),
    ipc: of(NamespaceMode.POD, NamespaceMode.POD, NamespaceMode.NODE),
    dns: some({
      servers: at(2, fc.subarray(["192.0.2.53", "2001:db8::53"])),
      searches: at(2, fc.subarray(["a.example", "b.example", "."])),
      options: at(2, fc.subarray(["ndots:5", "edns0"])),
    }),
    hostname: of("a", "a.b.example", "x".repeat(63)),
    sysctls: fc.subarray([
      ["net.ipv4.ip_local_port_range", "2000 3000"],
      ["net.ipv4.ping_group_range", "0\t0"],
      ["kernel.shm_rmid_forced", "1"],
      ["net.ipv4.tcp_syncookies", "0"],
    ] as [string, string][]),
  })
  .map(
    ({ network, pid, ipc, dns, hostname, sysctls, security: pause, ports, attempt, ...more }) => ({
      ...present(more),
      metadata: { attempt },
      portMappings: network === NamespaceMode.NODE ? [] : ports,
      hostname: network === NamespaceMode.NODE ? "" : hostname,
      dnsConfig: dns,
      linux: {
        securityContext: { ...pause, namespaceOptions: { network, pid, ipc } },
        sysctls: Object.fromEntries(
          sysctls.filter(([name]) =>
            name.startsWith("net.") ? network !== NamespaceMode.NODE : ipc !== NamespaceMode.NODE,
          ),
        ),
      },
    }),
  );

const perPod = 5;

/** `count` containers in pods of five, the same for the same seed. */
export function drawn(seed: number, count: number): PodPlan[] {
  const plans = pod.chain((sandbox) =>
    fc.tuple(of(sandbox), fc.array(container(sandbox), { minLength: perPod, maxLength: perPod })),
  );
  return fc
    .sample(plans, { seed, numRuns: Math.ceil(count / perPod) })
    .map(([sandbox, containers], at) => ({
      name: `drawn ${seed} ${at}`,
      sandbox,
      containers: containers.map((one, number) => ({
        name: `c${number}`,
        container: withoutCarrying(one),
      })),
    }));
}
