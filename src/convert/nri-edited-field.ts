import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment } from "../gen/nri/v1alpha1/api_pb.js";
import { v1Resources } from "./nri-adjusted-resources.ts";
import type { FieldName } from "./nri-refusal.ts";
import { hookKinds } from "./oci-hooks.ts";

/** The first field of an adjustment that only edits of the OCI spec carry out; undefined when none is set. */
export function firstEditedField(adjust: ContainerAdjustment): FieldName | undefined {
  const { linux, hooks } = adjust;
  const { rdt, resources } = linux ?? {};
  const whole = (name: string, field: Field, isSet: unknown): FieldName[] =>
    isSet === undefined || isSet === false ? [] : [{ name, field }];
  const entries = (name: string, field: Field, keys: readonly string[]): FieldName[] =>
    keys.map((key) => ({ name, field, key: key.replace(/^-/, "") }));
  return [
    ...entries("annotations", Field.Annotations, Object.keys(adjust.annotations)),
    ...entries(
      "mounts",
      Field.Mounts,
      adjust.mounts.map(({ destination }) => destination),
    ),
    ...entries(
      "env",
      Field.Env,
      adjust.env.map(({ key }) => key),
    ),
    ...whole("args", Field.Args, adjust.args.length > 0),
    ...whole(
      "hooks",
      Field.OciHooks,
      hookKinds.some((kind) => (hooks?.[kind].length ?? 0) > 0),
    ),
    ...entries(
      "CDI_devices",
      Field.CdiDevices,
      adjust.CDIDevices.map(({ name }) => name),
    ),
    ...entries(
      "linux.devices",
      Field.Devices,
      (linux?.devices ?? []).map(({ path }) => path),
    ),
    ...whole("linux.oom_score_adj", Field.OomScoreAdj, linux?.oomScoreAdj),
    ...whole("linux.io_priority", Field.IoPriority, linux?.ioPriority),
    ...whole("linux.scheduler", Field.LinuxSched, linux?.scheduler),
    ...whole("linux.seccomp_policy", Field.SeccompPolicy, linux?.seccompPolicy),
    ...entries(
      "linux.namespaces",
      Field.Namespace,
      (linux?.namespaces ?? []).map((n) => n.type),
    ),
    ...entries("linux.sysctl", Field.Sysctl, Object.keys(linux?.sysctl ?? {})),
    ...entries("linux.net_devices", Field.LinuxNetDevices, Object.keys(linux?.netDevices ?? {})),
    ...whole("linux.memory_policy", Field.MemoryPolicy, linux?.memoryPolicy),
    ...(resources === undefined || resources.devices.length === 0
      ? []
      : [{ name: "linux.resources.devices" }]),
    ...(v1Resources(resources) === undefined ? [] : [{ name: "linux.resources" }]),
    ...whole("linux.resources.rdt_class", Field.RdtClass, resources?.rdtClass),
    ...whole("linux.rdt.clos_id", Field.RdtClosID, rdt?.closId ?? rdt?.remove),
    ...whole("linux.rdt.schemata", Field.RdtSchemata, rdt?.schemata),
    ...whole("linux.rdt.enable_monitoring", Field.RdtEnableMonitoring, rdt?.enableMonitoring),
    ...entries(
      "rlimits",
      Field.Rlimits,
      adjust.rlimits.map(({ type }) => type),
    ),
  ][0];
}
