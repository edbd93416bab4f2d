import { create } from "@bufbuild/protobuf";
import {
  Field,
  HooksSchema,
  KeyValueSchema,
  LinuxContainerAdjustmentSchema,
  LinuxContainerSchema,
  LinuxRdtSchema,
  LinuxResourcesSchema,
} from "../gen/nri/v1alpha1/api_pb.js";
import type {
  Container,
  ContainerAdjustment,
  LinuxContainer,
  LinuxContainerAdjustment,
} from "../gen/nri/v1alpha1/api_pb.js";
import { mergeResources } from "./collect-resources.ts";
import { keyed, keyOfPair, mapOf, pairs, type Claim, type Pair } from "./keyed-fields.ts";
import { removed } from "./owners.ts";
import { hookKinds } from "../convert/oci-hooks.ts";

/** One answer on its way into what is collected, and into the container that the next plugin sees. */
export interface Step extends Claim {
  readonly asked: ContainerAdjustment;
  readonly adjust: ContainerAdjustment;
  readonly container: Container;
  /** The command as it was before all plugins. */
  readonly ownArgs: readonly string[];
}

export function linuxOf(adjust: ContainerAdjustment): LinuxContainerAdjustment {
  return (adjust.linux ??= create(LinuxContainerAdjustmentSchema));
}

function shown(container: Container): LinuxContainer {
  return (container.linux ??= create(LinuxContainerSchema));
}

function annotations(step: Step): void {
  const { asked, adjust, container } = step;
  keyed<Pair<string>>(step, {
    field: Field.Annotations,
    key: keyOfPair,
    asked: pairs(asked.annotations),
    collected: pairs(adjust.annotations),
    shown: pairs(container.annotations),
    keep: (collected, now) => {
      adjust.annotations = mapOf(collected);
      container.annotations = mapOf(now);
    },
  });
}

function mounts(step: Step): void {
  const { asked, adjust, container } = step;
  keyed(step, {
    field: Field.Mounts,
    key: ({ destination }) => destination,
    asked: asked.mounts,
    collected: adjust.mounts,
    shown: container.mounts,
    keep: (collected, now) => {
      adjust.mounts = collected;
      container.mounts = now;
    },
  });
}

function env(step: Step): void {
  const { asked, adjust, container } = step;
  keyed(step, {
    field: Field.Env,
    key: ({ key }) => key,
    asked: asked.env,
    collected: adjust.env,
    shown: container.env.map((line) => {
      const [key = "", ...value] = line.split("=");
      return create(KeyValueSchema, { key, value: value.join("=") });
    }),
    keep: (collected, now) => {
      adjust.env = collected;
      container.env = now.map(({ key, value }) => `${key}=${value}`);
    },
  });
}

/** An empty first word takes back what another plugin set. */
function args({ owners, id, plugin, asked, adjust, container, ownArgs }: Step): void {
  if (asked.args.length === 0) return;
  const [first = "", ...others] = asked.args;
  if (first === "") owners.clear(id, Field.Args, plugin);
  const words = first === "" ? others : asked.args;
  owners.claim(id, Field.Args, plugin);
  adjust.args = [...words];
  container.args = words.length === 0 ? [...ownArgs] : [...words];
}

function hooks({ owners, id, plugin, asked, adjust, container }: Step): void {
  const { hooks: wanted } = asked;
  if (wanted === undefined || hookKinds.every((kind) => wanted[kind].length === 0)) return;
  owners.join(id, Field.OciHooks, plugin);
  for (const target of [adjust, container]) {
    target.hooks ??= create(HooksSchema);
    for (const kind of hookKinds) {
      target.hooks[kind].push(...wanted[kind]);
    }
  }
}

function devices(step: Step): void {
  const asked = step.asked.linux?.devices ?? [];
  if (asked.length === 0) return;
  const [into, seen] = [linuxOf(step.adjust), shown(step.container)];
  keyed(step, {
    field: Field.Devices,
    key: ({ path }) => path,
    asked,
    collected: into.devices,
    shown: seen.devices,
    keep: (collected, now) => {
      into.devices = collected;
      seen.devices = now;
    },
  });
}

function resources({ owners, id, plugin, asked, adjust, container }: Step): void {
  const wanted = asked.linux?.resources;
  if (wanted === undefined) return;
  const [into, seen] = [linuxOf(adjust), shown(container)];
  into.resources ??= create(LinuxResourcesSchema);
  seen.resources ??= create(LinuxResourcesSchema);
  mergeResources(owners, { id, plugin }, wanted, [into.resources, seen.resources]);
}

/** What one plugin says whole. */
function single(
  field: Field,
  member: "oomScoreAdj" | "ioPriority" | "seccompPolicy" | "scheduler",
): (step: Step) => void {
  return ({ owners, id, plugin, asked, adjust, container }) => {
    const value = asked.linux?.[member];
    if (value === undefined) return;
    owners.claim(id, field, plugin);
    Object.assign(linuxOf(adjust), { [member]: value });
    Object.assign(shown(container), { [member]: value });
  };
}

function cgroupsPath({ owners, id, plugin, asked, adjust, container }: Step): void {
  const path = asked.linux?.cgroupsPath ?? "";
  if (path === "") return;
  owners.claim(id, Field.CgroupsPath, plugin);
  linuxOf(adjust).cgroupsPath = path;
  shown(container).cgroupsPath = path;
}

/** A removal claims its type like an addition: a plugin has one word for each. */
function namespaces({ owners, id, plugin, asked, adjust, container }: Step): void {
  for (const entry of asked.linux?.namespaces ?? []) {
    const type = removed(entry.type) ?? entry.type;
    owners.claim(id, Field.Namespace, plugin, type);
    const seen = shown(container);
    linuxOf(adjust).namespaces.push(entry);
    seen.namespaces = seen.namespaces.filter((namespace) => namespace.type !== type);
    if (type === entry.type) seen.namespaces.push(entry);
  }
}

function sysctl(step: Step): void {
  const asked = pairs(step.asked.linux?.sysctl);
  if (asked.length === 0) return;
  const [into, seen] = [linuxOf(step.adjust), shown(step.container)];
  keyed<Pair<string>>(step, {
    field: Field.Sysctl,
    key: keyOfPair,
    asked,
    collected: pairs(into.sysctl),
    shown: pairs(seen.sysctl),
    keep: (collected, now) => {
      into.sysctl = mapOf(collected);
      seen.sysctl = mapOf(now);
    },
  });
}

function netDevices(step: Step): void {
  const asked = pairs(step.asked.linux?.netDevices);
  if (asked.length === 0) return;
  const [into, seen] = [linuxOf(step.adjust), shown(step.container)];
  keyed(step, {
    field: Field.LinuxNetDevices,
    key: keyOfPair,
    asked,
    collected: pairs(into.netDevices),
    shown: pairs(seen.netDevices),
    keep: (collected, now) => {
      into.netDevices = mapOf(collected);
      seen.netDevices = mapOf(now);
    },
  });
}

const rdtFields = [
  [Field.RdtClosID, "closId"],
  [Field.RdtSchemata, "schemata"],
  [Field.RdtEnableMonitoring, "enableMonitoring"],
] as const;

function rdt({ owners, id, plugin, asked, adjust, container }: Step): void {
  const wanted = asked.linux?.rdt;
  if (wanted === undefined) return;
  const [into, seen] = [linuxOf(adjust), shown(container)];
  if (wanted.remove) {
    for (const [field] of rdtFields) owners.clear(id, field, plugin);
    into.rdt = create(LinuxRdtSchema, { remove: true });
    delete seen.rdt;
  }
  for (const [field, member] of rdtFields) {
    if (wanted[member] === undefined) continue;
    owners.claim(id, field, plugin);
    into.rdt ??= create(LinuxRdtSchema);
    seen.rdt ??= create(LinuxRdtSchema);
    Object.assign(into.rdt, { [member]: wanted[member], remove: false });
    Object.assign(seen.rdt, { [member]: wanted[member] });
  }
}

/** A Container has no member that could show it to the next plugin. */
function memoryPolicy({ owners, id, plugin, asked, adjust }: Step): void {
  const policy = asked.linux?.memoryPolicy;
  if (policy === undefined) return;
  owners.claim(id, Field.MemoryPolicy, plugin);
  linuxOf(adjust).memoryPolicy = policy;
}

function rlimits({ owners, id, plugin, asked, adjust, container }: Step): void {
  for (const limit of asked.rlimits) {
    owners.claim(id, Field.Rlimits, plugin, limit.type);
    adjust.rlimits.push(limit);
    container.rlimits = [...container.rlimits.filter(({ type }) => type !== limit.type), limit];
  }
}

/** Names alone; what they stand for is nothing that the next plugin could see. */
function cdiDevices({ owners, id, plugin, asked, adjust }: Step): void {
  for (const device of asked.CDIDevices) {
    owners.claim(id, Field.CdiDevices, plugin, device.name);
    adjust.CDIDevices.push(device);
  }
}

/** Every field of an adjustment, in the order in which an answer's are claimed. */
export const adjustFields: readonly ((step: Step) => void)[] = [
  annotations,
  mounts,
  env,
  args,
  hooks,
  devices,
  resources,
  cgroupsPath,
  single(Field.OomScoreAdj, "oomScoreAdj"),
  single(Field.IoPriority, "ioPriority"),
  single(Field.SeccompPolicy, "seccompPolicy"),
  namespaces,
  sysctl,
  netDevices,
  single(Field.LinuxSched, "scheduler"),
  rdt,
  memoryPolicy,
  rlimits,
  cdiDevices,
];
