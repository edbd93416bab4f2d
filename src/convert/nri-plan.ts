import type { ContainerAdjustment } from "../gen/nri/v1alpha1/api_pb.js";
import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import { NamespaceMode } from "../gen/runtime/v1/api_pb.js";
import { cdiOperations } from "./cdi-edits.ts";
import { isMounted } from "./mount-propagation.ts";
import { isHostNetwork } from "./namespaces.ts";
import { toResourceChange, v1Resources } from "./nri-adjusted-resources.ts";
import type { AdjustmentFacts, AdjustmentPlan, PlanAdjustment } from "./nri-adjustment.ts";
import { blockioClass, rdt } from "./nri-classes.ts";
import { together } from "./nri-edits.ts";
import { firstEditedField } from "./nri-edited-field.ts";
import {
  deviceRules,
  devices,
  memoryPolicy,
  namespaces,
  netDevices,
  sysctl,
  type LinuxScope,
} from "./nri-linux.ts";
import { mounts } from "./nri-mounts.ts";
import {
  annotations,
  args,
  env,
  hooks,
  ioPriority,
  oomScoreAdj,
  rlimits,
  scheduler,
  variables,
  type Part,
} from "./nri-process.ts";
import { Refusals } from "./nri-refusal.ts";
import { notEditing } from "./runtime-handler.ts";
import { seccomp } from "./nri-seccomp.ts";
import { toPodIds } from "./user-namespace.ts";

/**
 * Resources that Docker's update knows go through it before the first start; all else becomes edits of the OCI spec,
 * in the order in which the reference implementation changes a spec. What cannot be is refused here and never at the
 * start.
 */
export const planAdjustment: PlanAdjustment = (adjust, facts) => {
  const { engine } = facts;
  const refusals = new Refusals(facts.owners);
  const asked = adjust.linux?.resources;
  const before = facts.config.linux?.resources;
  const change = toResourceChange(asked, before, engine, refusals);
  refuseAlways(adjust, refusals);
  const edited = firstEditedField(adjust);
  if (edited !== undefined && engine.editing?.lists !== true) {
    const older =
      "the dockline-oci that is registered is an older one; see dockline install-runtime";
    const why = engine.editing === undefined ? notEditing : older;
    throw refusals.of(edited, "FailedPrecondition", why);
  }
  const set = variables(adjust, refusals);
  const edits = joined(parts(adjust, facts, set, refusals));
  const variablesOfDevices = facts.devices.flatMap((device) => device.env ?? []).map(nameAndValue);
  // A device comes after the variables of plugins.
  const forExec = Object.assign(set, Object.fromEntries(variablesOfDevices));
  return {
    ...(change === undefined ? {} : { resources: change.resources }),
    ...(change === undefined || Object.keys(change.docker).length === 0
      ? {}
      : { docker: change.docker }),
    ...(edits === undefined ? {} : { edits }),
    ...(Object.keys(forExec).length === 0 ? {} : { env: forExec }),
  };
};

function nameAndValue(line: string): [string, string] {
  const equals = line.indexOf("=");
  return [line.slice(0, equals), line.slice(equals + 1)];
}

function parts(
  adjust: ContainerAdjustment,
  facts: AdjustmentFacts,
  set: NonNullable<AdjustmentPlan["env"]>,
  refusals: Refusals,
): Part[] {
  const { config, engine, mountinfo } = facts;
  const scope = scopeOf(facts);
  const features = engine.editing?.features;
  const v1 = v1Resources(adjust.linux?.resources);
  return [
    annotations(adjust, refusals),
    env(set),
    args(adjust, refusals),
    hooks(adjust, features, refusals),
    { ops: cdiOperations(facts.devices) },
    devices(adjust, refusals),
    oomScoreAdj(adjust, refusals),
    ioPriority(adjust, features, refusals),
    scheduler(adjust, features, refusals),
    seccomp(adjust, features, refusals),
    namespaces(adjust, scope, features, refusals),
    sysctl(adjust, scope, refusals),
    netDevices(adjust, scope, features, refusals),
    memoryPolicy(adjust, features, refusals),
    v1 === undefined ? {} : { merge: { linux: { resources: v1 } } },
    deviceRules(adjust.linux?.resources?.devices ?? [], refusals),
    rdt(adjust, scope, features, refusals),
    mounts(adjust, config.mounts, mountinfo, features, refusals),
    rlimits(adjust, refusals),
  ];
}

function refuseAlways(adjust: ContainerAdjustment, refusals: Refusals): void {
  if ((adjust.linux?.cgroupsPath ?? "") !== "") {
    const field = { name: "linux.cgroups_path", field: Field.CgroupsPath };
    throw refusals.of(field, "Unimplemented", "the container stays in the cgroup of its pod");
  }
  blockioClass(adjust, refusals);
}

function scopeOf({ config, pod, mountinfo }: AdjustmentFacts): LinuxScope {
  const own = config.linux?.securityContext?.namespaceOptions;
  const ofPod = pod?.linux?.securityContext?.namespaceOptions ?? own;
  return {
    hostNetwork: isHostNetwork(ofPod),
    hostIpc: ofPod?.ipc === NamespaceMode.NODE,
    userNamespace: toPodIds(own) !== undefined,
    resctrl: isMounted(mountinfo, "resctrl"),
  };
}

function joined(all: readonly Part[]): AdjustmentPlan["edits"] {
  const ops = all.flatMap((part) => part.ops ?? []);
  const merge = all.map((part) => part.merge).reduce(together, undefined);
  const requires = [...new Set(all.flatMap((part) => part.requires ?? []))];
  const edits = {
    ...(merge === undefined ? {} : { merge }),
    ...(ops.length === 0 ? {} : { ops }),
    ...(requires.length === 0 ? {} : { requires }),
  };
  return Object.keys(edits).length === 0 ? undefined : edits;
}
