import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment } from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import type { LinuxScope } from "./nri-linux.ts";
import type { Part } from "./nri-process.ts";
import type { FieldName, Refusals } from "./nri-refusal.ts";
import type { OciOperation } from "./oci-edits.ts";

/** The class that stands for "as the pod's QoS class has it"; there are no such classes here. */
const podQos = "/PodQos";

/** @throws Unimplemented: there is no file here that says what a class is */
export function blockioClass(adjust: ContainerAdjustment, refusals: Refusals): void {
  const name = adjust.linux?.resources?.blockioClass?.value ?? "";
  if (name === "" || name === podQos) return;
  const field = { name: "linux.resources.blockio_class", field: Field.BlockioClass };
  throw refusals.of(field, "Unimplemented", "Dockline has no classes of block I/O");
}

/** Cache and memory bandwidth: a class by name, and over it what is said member by member. */
export function rdt(
  adjust: ContainerAdjustment,
  scope: LinuxScope,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const className = adjust.linux?.resources?.rdtClass?.value;
  const asked = adjust.linux?.rdt;
  const ops: OciOperation[] = [];
  if (className === "" || asked?.remove === true) {
    ops.push({ op: "remove", path: "/linux/intelRdt" });
  }
  const set: Record<string, unknown> = {};
  const requires: string[] = [];
  const put = (field: FieldName, feature: string, member: string, value: unknown): void => {
    if (!scope.resctrl) {
      throw refusals.of(field, "FailedPrecondition", "/sys/fs/resctrl is not mounted on this node");
    }
    for (const needed of new Set(["intelRdt", feature])) {
      requires.push(refusals.require(field, features, needed, "does not set it"));
    }
    set[member] = value;
  };
  if (className !== undefined && className !== "" && className !== podQos) {
    const field = { name: "linux.resources.rdt_class", field: Field.RdtClass };
    put(field, "intelRdt", "closID", plainClass(className, field, refusals));
  }
  if (asked?.closId !== undefined) {
    const field = { name: "linux.rdt.clos_id", field: Field.RdtClosID };
    put(field, "intelRdt", "closID", plainClass(asked.closId.value, field, refusals));
  }
  if (asked?.schemata !== undefined) {
    const field = { name: "linux.rdt.schemata", field: Field.RdtSchemata };
    put(field, "intelRdt.schemata", "schemata", asked.schemata.value);
  }
  if (asked?.enableMonitoring !== undefined) {
    const field = { name: "linux.rdt.enable_monitoring", field: Field.RdtEnableMonitoring };
    put(field, "intelRdt.monitoring", "enableMonitoring", asked.enableMonitoring.value);
  }
  for (const member of Object.keys(set)) {
    ops.push({ op: "set", path: `/linux/intelRdt/${member}`, value: set[member] });
  }
  return { ops, requires: [...new Set(requires)] };
}

/** It names a folder of resctrl. */
function plainClass(name: string, field: FieldName, refusals: Refusals): string {
  if (/^(?!\.{1,2}$)[^/\n\0]{1,255}$/.test(name)) return name;
  throw refusals.of(field, "InvalidArgument", "not the name of a class");
}
