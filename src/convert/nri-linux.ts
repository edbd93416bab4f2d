import { Field, MpolFlag, MpolMode } from "../gen/nri/v1alpha1/api_pb.js";
import type {
  ContainerAdjustment,
  LinuxDevice,
  LinuxDeviceCgroup,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import { nullsAndTexts, type Part } from "./nri-process.ts";
import type { Refusals } from "./nri-refusal.ts";
import type { OciOperation } from "./oci-edits.ts";
import { checkSysctl, type SysctlScope } from "./sysctls.ts";

/** What of the pod and the node decides which parts can be. */
export interface LinuxScope extends SysctlScope {
  readonly userNamespace: boolean;
  /** /sys/fs/resctrl is mounted. */
  readonly resctrl: boolean;
}

type Features = RuntimeFeatures | undefined;

const deviceTypes = ["c", "b", "u", "p"];
const namespaceTypes = ["network", "pid", "ipc", "uts", "cgroup", "time"];
/** The kernel lets a user namespace own what is in it; these are the pod's. */
const podOwned = ["network", "pid", "ipc"];
const interfaceName = /^(?!\.{1,2}$)[^/:\s\0]{1,15}$/;

export function devices(adjust: ContainerAdjustment, refusals: Refusals): Part {
  const asked = adjust.linux?.devices ?? [];
  const names = asked.flatMap(({ path }) => (path.startsWith("-") ? path.slice(1) : []));
  const added = asked.filter(({ path }) => !path.startsWith("-"));
  const list = { path: "/linux/devices", key: "path" } as const;
  const ops: OciOperation[] = [];
  if (names.length > 0) ops.push({ op: "listDrop", ...list, names });
  if (added.length > 0) {
    ops.push({ op: "listPut", ...list, values: added.map((one) => device(one, refusals)) });
  }
  const rules = added
    .filter(({ type }) => type !== "p")
    .map((one) => ({
      allow: true,
      type: one.type === "u" ? "c" : one.type,
      major: Number(one.major),
      minor: Number(one.minor),
      access: access(one),
    }));
  if (rules.length > 0) ops.push(append(rules));
  return { ops };
}

const append = (values: readonly unknown[]): OciOperation => ({
  op: "append",
  path: "/linux/resources/devices",
  values,
});

function device({ path, type, major, minor, fileMode, uid, gid }: LinuxDevice, refusals: Refusals) {
  const field = { name: "linux.devices", field: Field.Devices, key: path };
  if (!path.startsWith("/")) throw refusals.of(field, "InvalidArgument", "not an absolute path");
  if (!deviceTypes.includes(type)) {
    throw refusals.of(field, "InvalidArgument", "the type is none of c, b, u and p");
  }
  for (const number of [major, minor]) {
    if (number < 0n || number > 0xffff_ffffn) {
      throw refusals.of(field, "InvalidArgument", `${number} is no device number`);
    }
  }
  return {
    path,
    type,
    major: Number(major),
    minor: Number(minor),
    ...(fileMode === undefined ? {} : { fileMode: fileMode.value }),
    ...(uid === undefined ? {} : { uid: uid.value }),
    ...(gid === undefined ? {} : { gid: gid.value }),
  };
}

/** As the reference implementation has it, whatever the node's mode. */
const access = ({ type }: LinuxDevice): string => (type === "b" ? "rwm" : "rw");

export function deviceRules(rules: readonly LinuxDeviceCgroup[], refusals: Refusals): Part {
  if (rules.length === 0) return {};
  const values = rules.map(({ allow, type, major, minor, access: allowed }) => {
    const field = { name: "linux.resources.devices" };
    if (!["", "a", "b", "c"].includes(type) || !/^[rwm]{0,3}$/.test(allowed)) {
      throw refusals.of(field, "InvalidArgument", "not a rule of type a, b or c with access rwm");
    }
    return {
      allow,
      ...(type === "" ? {} : { type }),
      ...(major === undefined ? {} : { major: Number(major.value) }),
      ...(minor === undefined ? {} : { minor: Number(minor.value) }),
      ...(allowed === "" ? {} : { access: allowed }),
    };
  });
  return { ops: [append(values)] };
}

export function namespaces(
  adjust: ContainerAdjustment,
  scope: LinuxScope,
  features: Features,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.namespaces ?? [];
  const list = { path: "/linux/namespaces", key: "type" } as const;
  const requires: string[] = [];
  const ops = asked.map((entry): OciOperation => {
    const type = entry.type.startsWith("-") ? entry.type.slice(1) : entry.type;
    const field = { name: "linux.namespaces", field: Field.Namespace, key: type };
    if (type === "user" || type === "mount") {
      throw refusals.of(field, "Unimplemented", "Docker's and the pod's; it cannot be another");
    }
    if (!namespaceTypes.includes(type)) {
      throw refusals.of(field, "InvalidArgument", "no type of namespace");
    }
    if (scope.userNamespace && podOwned.includes(type)) {
      const why = "the user namespace of this pod owns it; it cannot be another";
      throw refusals.of(field, "FailedPrecondition", why);
    }
    if (entry.path !== "" && !entry.path.startsWith("/")) {
      throw refusals.of(field, "InvalidArgument", "the path is not absolute");
    }
    if (type !== entry.type) return { op: "listDrop", ...list, names: [type] };
    if (type === "time") {
      requires.push(refusals.require(field, features, "namespace:time", "has no time namespaces"));
    }
    const value = entry.path === "" ? { type } : { type, path: entry.path };
    return { op: "listPut", ...list, values: [value] };
  });
  return { ops, requires };
}

export function sysctl(adjust: ContainerAdjustment, scope: LinuxScope, refusals: Refusals): Part {
  const asked = adjust.linux?.sysctl ?? {};
  if (Object.keys(asked).length === 0) return {};
  const patch = nullsAndTexts(asked);
  const set = Object.create(null) as Record<string, string | null>;
  for (const key of Object.keys(patch)) {
    const field = { name: "linux.sysctl", field: Field.Sysctl, key };
    const value = patch[key] ?? null;
    const check = () => checkSysctl(key, value ?? "", scope);
    set[refusals.within(field, check)] = value;
  }
  return { merge: { linux: { sysctl: set } } };
}

export function netDevices(
  adjust: ContainerAdjustment,
  scope: LinuxScope,
  features: Features,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.netDevices ?? {};
  const names = Object.keys(asked);
  if (names.length === 0) return {};
  const patch = Object.create(null) as Record<string, { name?: string } | null>;
  const requires = new Set<string>();
  for (const key of names) {
    const host = key.startsWith("-") ? key.slice(1) : key;
    const field = { name: "linux.net_devices", field: Field.LinuxNetDevices, key: host };
    if (host !== key) {
      patch[host] ??= null;
      continue;
    }
    const inside = asked[key]?.name ?? "";
    if (!interfaceName.test(host) || (inside !== "" && !interfaceName.test(inside))) {
      throw refusals.of(field, "InvalidArgument", "not the name of a network interface");
    }
    if (scope.hostNetwork) {
      throw refusals.of(field, "FailedPrecondition", "the pod has the node's network");
    }
    const why = "does not move network devices; runc does from 1.4 on";
    requires.add(refusals.require(field, features, "netDevices", why));
    patch[host] = inside === "" ? {} : { name: inside };
  }
  return { merge: { linux: { netDevices: patch } }, requires: [...requires] };
}

export function memoryPolicy(
  adjust: ContainerAdjustment,
  features: Features,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.memoryPolicy;
  if (asked === undefined) return {};
  const field = { name: "linux.memory_policy", field: Field.MemoryPolicy };
  const mode = MpolMode[asked.mode] as string | undefined;
  const flags = asked.flags.map((flag) => MpolFlag[flag] as string | undefined);
  if (mode === undefined || !flags.every((flag) => flag !== undefined)) {
    throw refusals.of(field, "InvalidArgument", "not a memory policy with its flags");
  }
  if (!/^[0-9,-]{0,4096}$/.test(asked.nodes)) {
    throw refusals.of(field, "InvalidArgument", "nodes: not a list of numbers and ranges");
  }
  const why = "does not set it; runc does from 1.4 on";
  const requires = [
    refusals.require(field, features, `memoryPolicy:${mode}`, why),
    ...flags.map((flag) => refusals.require(field, features, `memoryPolicyFlag:${flag}`, why)),
  ];
  const value = {
    mode,
    ...(asked.nodes === "" ? {} : { nodes: asked.nodes }),
    ...(flags.length === 0 ? {} : { flags }),
  };
  return { ops: [{ op: "set", path: "/linux/memoryPolicy", value }], requires };
}
