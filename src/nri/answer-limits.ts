import { CriError } from "../errors.ts";
import type {
  ContainerAdjustment,
  ContainerUpdate,
  LinuxResources,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { PluginName } from "./adjust.ts";
import { hookKinds } from "../convert/oci-hooks.ts";

/** Entries of one list or map in one answer. No plugin that does what NRI is for comes near it. */
const answerLimit = 1024;

/** @throws ResourceExhausted naming plugin and field */
export function checkAdjustment(plugin: PluginName, adjust: ContainerAdjustment | undefined): void {
  if (adjust === undefined) return;
  const { hooks, linux } = adjust;
  check(plugin, {
    annotations: keys(adjust.annotations),
    mounts: adjust.mounts.length,
    env: adjust.env.length,
    args: adjust.args.length,
    rlimits: adjust.rlimits.length,
    CDI_devices: adjust.CDIDevices.length,
    hooks: hooks === undefined ? 0 : hookKinds.reduce((sum, kind) => sum + hooks[kind].length, 0),
    "linux.devices": linux?.devices.length ?? 0,
    "linux.namespaces": linux?.namespaces.length ?? 0,
    "linux.sysctl": keys(linux?.sysctl),
    "linux.net_devices": keys(linux?.netDevices),
    "linux.seccomp_policy.syscalls": linux?.seccompPolicy?.syscalls.length ?? 0,
  });
  checkResources(plugin, linux?.resources);
}

/** @throws ResourceExhausted naming plugin and field */
export function checkUpdates(plugin: PluginName, updates: readonly ContainerUpdate[]): void {
  check(plugin, { update: updates.length });
  for (const update of updates) checkResources(plugin, update.linux?.resources);
}

function checkResources(plugin: PluginName, resources: LinuxResources | undefined): void {
  check(plugin, {
    "linux.resources.hugepage_limits": resources?.hugepageLimits.length ?? 0,
    "linux.resources.unified": keys(resources?.unified),
    "linux.resources.devices": resources?.devices.length ?? 0,
  });
}

const keys = (map: object | undefined): number => Object.keys(map ?? {}).length;

function check(plugin: PluginName, counts: Readonly<Record<string, number>>): void {
  for (const [field, count] of Object.entries(counts)) {
    if (count <= answerLimit) continue;
    throw new CriError(
      "ResourceExhausted",
      `NRI plugin ${plugin}: ${field}: ${count} entries are over the limit of ${answerLimit}`,
    );
  }
}
