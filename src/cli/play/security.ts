import {
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../gen/runtime/v1/api_pb.js";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type {
  LinuxContainerSecurityContextSchema,
  LinuxSandboxSecurityContextSchema,
} from "../../gen/runtime/v1/api_pb.js";
import type { Fields, OtherKeys } from "./fields.ts";

type ContainerSecurity = Exclude<
  MessageInitShape<typeof LinuxContainerSecurityContextSchema>,
  Message
>;
type SandboxSecurity = Exclude<MessageInitShape<typeof LinuxSandboxSecurityContextSchema>, Message>;

/** The pod's security context: for the sandbox, and as defaults for its containers. */
export interface PodSecurity {
  sandbox: SandboxSecurity;
  container: ContainerSecurity;
  fsGroup: number | undefined;
  sysctls: Record<string, string>;
  /** A container that would run as root is not started. */
  nonRoot: boolean;
}

const unconfined = { profileType: SecurityProfile_ProfileType.Unconfined };

/** Paths that the kubelet has masked for a container unless it is privileged (procMount Default). */
const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const securityKeys: OtherKeys = {
  unsupported: ["procMount", "seLinuxOptions", "windowsOptions"],
};
const podSecurityKeys: OtherKeys = {
  passedOver: { fsGroupChangePolicy: "volumes are new" },
  unsupported: [...(securityKeys.unsupported ?? []), "seLinuxChangePolicy"],
};

export function podSecurity(fields: Fields | undefined): PodSecurity {
  const defaults: ContainerSecurity = { seccomp: unconfined };
  if (fields === undefined) {
    return {
      sandbox: { seccomp: runtimeDefault },
      container: defaults,
      fsGroup: undefined,
      sysctls: {},
      nonRoot: false,
    };
  }
  const ids = readIds(fields);
  const groups = fields.raw("supplementalGroups");
  const fsGroup = fields.integer("fsGroup");
  const supplementalGroups = [
    ...(Array.isArray(groups) ? groups.map((group) => BigInt(Number(group))) : []),
    ...(fsGroup === undefined ? [] : [BigInt(fsGroup)]),
  ];
  const strict =
    fields.choice("supplementalGroupsPolicy", ["Merge", "Strict"], "Merge") === "Strict";
  const seccomp = readProfile(fields, "seccompProfile") ?? unconfined;
  const apparmor = readProfile(fields, "appArmorProfile");
  const sysctls = fields.list("sysctls").map((sysctl): [string, string] => {
    const pair: [string, string] = [sysctl.text("name"), sysctl.text("value")];
    sysctl.finish();
    return pair;
  });
  const nonRoot = fields.flag("runAsNonRoot");
  fields.finish(podSecurityKeys);
  return {
    fsGroup,
    sysctls: Object.fromEntries(sysctls),
    nonRoot,
    sandbox: { ...ids, supplementalGroups, seccomp: runtimeDefault },
    container: {
      ...ids,
      supplementalGroups,
      seccomp,
      ...(apparmor === undefined ? {} : { apparmor }),
      supplementalGroupsPolicy: strict
        ? SupplementalGroupsPolicy.Strict
        : SupplementalGroupsPolicy.Merge,
    },
  };
}

export function containerSecurity(fields: Fields | undefined, pod: PodSecurity): ContainerSecurity {
  const base: ContainerSecurity = { ...pod.container, maskedPaths, readonlyPaths };
  if (fields === undefined) return base;
  const capabilities = fields.mapping("capabilities");
  const privileged = fields.flag("privileged");
  const seccomp = readProfile(fields, "seccompProfile");
  const apparmor = readProfile(fields, "appArmorProfile");
  const escalation = fields.raw("allowPrivilegeEscalation");
  const result: ContainerSecurity = {
    ...base,
    ...readIds(fields),
    privileged,
    readonlyRootfs: fields.flag("readOnlyRootFilesystem"),
    noNewPrivs: escalation === false,
    ...(seccomp === undefined ? {} : { seccomp }),
    ...(apparmor === undefined ? {} : { apparmor }),
    ...(capabilities === undefined
      ? {}
      : {
          capabilities: {
            addCapabilities: capabilities.texts("add"),
            dropCapabilities: capabilities.texts("drop"),
          },
        }),
    ...(privileged ? { maskedPaths: [], readonlyPaths: [] } : {}),
  };
  capabilities?.finish();
  fields.finish(securityKeys);
  return result;
}

const runtimeDefault = { profileType: SecurityProfile_ProfileType.RuntimeDefault };

function readIds(fields: Fields): Pick<ContainerSecurity, "runAsUser" | "runAsGroup"> {
  const user = fields.integer("runAsUser");
  const group = fields.integer("runAsGroup");
  return {
    ...(user === undefined ? {} : { runAsUser: { value: BigInt(user) } }),
    ...(group === undefined ? {} : { runAsGroup: { value: BigInt(group) } }),
  };
}

function readProfile(
  fields: Fields,
  key: "seccompProfile" | "appArmorProfile",
): ContainerSecurity["seccomp"] | undefined {
  const profile = fields.mapping(key);
  if (profile === undefined) return undefined;
  const type = profile.text("type");
  const localhostRef = profile.text("localhostProfile");
  profile.finish();
  if (type === "RuntimeDefault") return runtimeDefault;
  if (type === "Unconfined") return unconfined;
  if (type === "Localhost") {
    return { profileType: SecurityProfile_ProfileType.Localhost, localhostRef };
  }
  profile.problem("type", `${type} is not known`);
  return undefined;
}
