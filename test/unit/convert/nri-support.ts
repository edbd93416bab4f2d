import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { AdjustmentFacts } from "../../../src/convert/nri-adjustment.ts";
import type { RuntimeFeatures } from "../../../src/convert/engine-facts.ts";
import { planAdjustment } from "../../../src/convert/nri-plan.ts";
import { CriError } from "../../../src/errors.ts";
import {
  ContainerAdjustmentSchema,
  Field,
  FieldOwnersSchema,
  type FieldOwners,
  type LinuxResourcesSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { ContainerConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { modern } from "./support.ts";

export type Resources = MessageInitShape<typeof LinuxResourcesSchema>;
export type Adjustment = MessageInitShape<typeof ContainerAdjustmentSchema>;

/** As runc 1.4 answers, as far as it is looked at. */
export const newest: RuntimeFeatures = {
  ociVersionMax: "1.3.0",
  hooks: [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
  ],
  mountOptions: ["ro", "rbind", "idmap"],
  linux: {
    namespaces: ["time"],
    seccomp: {
      enabled: true,
      actions: ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"],
      operators: ["SCMP_CMP_EQ"],
      archs: ["SCMP_ARCH_X86_64"],
      supportedFlags: ["SECCOMP_FILTER_FLAG_LOG"],
    },
    intelRdt: { enabled: true, schemata: true, monitoring: true },
    memoryPolicy: { modes: ["MPOL_BIND"], flags: ["MPOL_F_STATIC_NODES"] },
    netDevices: { enabled: true },
  },
};
/** As runc 1.1 answers. */
export const runc11: RuntimeFeatures = {
  ociVersionMax: "1.0.2-dev",
  hooks: newest.hooks ?? [],
  mountOptions: ["ro", "rbind"],
  linux: newest.linux?.seccomp === undefined ? {} : { seccomp: newest.linux.seccomp },
};
export const mountinfo = [
  "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
  "21 20 0:5 / /private rw - tmpfs tmpfs rw",
  "22 20 0:6 / /slave rw master:2 - tmpfs tmpfs rw",
  "23 20 0:7 / /sys/fs/resctrl rw - resctrl resctrl rw",
].join("\n");

/** Everything of the container has one owner. */
function owners(): FieldOwners {
  const of = create(FieldOwnersSchema);
  for (const number of Object.values(Field))
    if (typeof number === "number") of.simple[number] = "10-p";
  return of;
}

export function facts(change: Partial<AdjustmentFacts> = {}, features = newest): AdjustmentFacts {
  return {
    containerId: "c".repeat(64),
    owners: owners(),
    config: create(ContainerConfigSchema),
    pod: undefined,
    engine: {
      ...modern,
      editing: { name: "dockline", recursiveReadOnly: true, lists: true, features },
    },
    devices: [],
    mountinfo,
    ...change,
  };
}

export const plan = (adjust: Adjustment, given = facts()) =>
  planAdjustment(create(ContainerAdjustmentSchema, adjust), given);
export const ops = (adjust: Adjustment, given = facts()) => plan(adjust, given).edits?.ops;
export const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

export function refusal(adjust: Adjustment, given = facts()): [string, string] {
  try {
    plan(adjust, given);
  } catch (error) {
    if (error instanceof CriError) return [error.kind, error.message];
    throw error;
  }
  return ["", "not refused"];
}

export const linux = (of: NonNullable<Adjustment["linux"]>): Adjustment => ({ linux: of });
export const resources = (
  of: NonNullable<NonNullable<Adjustment["linux"]>["resources"]>,
): Adjustment => linux({ resources: of });
export const one = { value: 1n };

/** On a node with cgroup v1. */
export const v1: AdjustmentFacts = {
  ...facts(),
  engine: { ...facts().engine, cgroupVersion: 1 },
};
