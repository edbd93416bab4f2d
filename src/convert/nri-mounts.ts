import { MountPropagation } from "../gen/runtime/v1/api_pb.js";
import type { Mount as CriMount } from "../gen/runtime/v1/api_pb.js";
import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment, Mount } from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import { mountPoint } from "./mount-points.ts";
import { propagationOf, type Propagation } from "./mount-propagation.ts";
import { hasNul, type Part } from "./nri-process.ts";
import type { Refusals } from "./nri-refusal.ts";
import type { OciOperation } from "./oci-edits.ts";

const propagations = ["rprivate", "rslave", "rshared"] as const;
type Asked = (typeof propagations)[number];
/** Of the source's own mount, as mount(2) needs it. */
const needed: Readonly<Record<Asked, readonly Propagation[]>> = {
  rprivate: ["private", "slave", "shared"],
  rslave: ["slave", "shared"],
  rshared: ["shared"],
};

/**
 * Mounts that are added, replaced or removed. All are sorted then, so that one is made before those below it.
 *
 * @param own the container's, as the kubelet asked: they say what Docker makes of the root's propagation
 * @param mountinfo text of /proc/self/mountinfo
 */
export function mounts(
  adjust: ContainerAdjustment,
  own: readonly CriMount[],
  mountinfo: string,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const asked = adjust.mounts;
  if (asked.length === 0) return {};
  const list = { path: "/mounts", key: "destination" } as const;
  const requires = new Set<string>();
  let root: Asked = "rprivate";
  const ops = asked.map((mount): OciOperation => {
    if (mount.destination.startsWith("-")) {
      return { op: "listDrop", ...list, names: [mountPoint(mount.destination.slice(1))] };
    }
    const propagation = checkMount(mount, mountinfo, features, refusals, requires);
    if (propagations.indexOf(propagation) > propagations.indexOf(root)) root = propagation;
    const { type, source, options } = mount;
    const destination = mountPoint(mount.destination);
    const value = { destination, ...(type === "" ? {} : { type }), source, options };
    return { op: "listPut", ...list, values: [value] };
  });
  ops.push({ op: "sortMounts" });
  const docker = rootPropagation(own);
  const raised = propagations.indexOf(root) > propagations.indexOf(docker);
  return {
    ops: raised ? [{ op: "set", path: "/linux/rootfsPropagation", value: root }, ...ops] : ops,
    requires: [...requires],
  };
}

/** What Docker sets for the mounts that it makes itself. */
function rootPropagation(own: readonly CriMount[]): Asked {
  const has = (propagation: MountPropagation): boolean =>
    own.some((mount) => mount.propagation === propagation);
  if (has(MountPropagation.PROPAGATION_BIDIRECTIONAL)) return "rshared";
  return has(MountPropagation.PROPAGATION_HOST_TO_CONTAINER) ? "rslave" : "rprivate";
}

function checkMount(
  mount: Mount,
  mountinfo: string,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
  requires: Set<string>,
): Asked {
  const { destination, source, options, type } = mount;
  const field = { name: "mounts", field: Field.Mounts, key: destination };
  if (!destination.startsWith("/") || [destination, source, type, ...options].some(hasNul)) {
    throw refusals.of(field, "InvalidArgument", "the destination is not an absolute path");
  }
  if (options.includes("relabel")) {
    throw refusals.of(field, "Unimplemented", "the option relabel");
  }
  const binds = isBind({ type, options });
  // The runtime joins a relative one with the bundle, a folder that no plugin knows.
  if (binds && !source.startsWith("/")) {
    throw refusals.of(field, "InvalidArgument", "the source is not an absolute path");
  }
  // Other file systems get what the runtime does not know as their own data, and judge it.
  for (const option of binds ? options : []) {
    const why = `does not know the option ${JSON.stringify(option)}`;
    requires.add(refusals.require(field, features, `mountOption:${option}`, why));
  }
  const propagation = options.findLast((option): option is Asked =>
    (propagations as readonly string[]).includes(option),
  );
  if (propagation === undefined) return "rprivate";
  const found = propagationOf(mountinfo, source);
  if (!needed[propagation].includes(found)) {
    const why = `${propagation}: the source is on a mount that is ${found}`;
    throw refusals.of(field, "FailedPrecondition", why);
  }
  return propagation;
}

/** Of a mount that shows a path of the node. */
export function isBind({ type, options }: Pick<Mount, "type" | "options">): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}
