import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

const noPods = "no pod gets a network: the node is NotReady and RunPodSandbox fails";

/** Plugins of the CNI project itself, which distributions package. */
const packaged = new Set(
  (
    "bridge host-local portmap firewall bandwidth loopback ptp tuning dhcp static vlan macvlan " +
    "ipvlan host-device sbr vrf dummy tap"
  ).split(" "),
);

export function checkCniConfig({ cni, config }: NodeFacts): Finding {
  const check = "cni-config";
  const folder = config.cniConfDir;
  const mend = [
    "kubectl get pods -A -o wide   # is the network add-on here?",
    "ls /usr/share/doc/dockline/examples   # has a sample for one node",
  ];
  if (cni.folderTrouble !== undefined) return error(check, cni.folderTrouble, noPods, ...mend);
  if (cni.files.length === 0) {
    return error(check, `no CNI configuration in ${folder}`, noPods, ...mend);
  }
  const valid = cni.files.filter(({ network }) => network !== undefined);
  const broken = cni.files.filter(({ network }) => network === undefined);
  const [used, ...others] = valid;
  const troubles = broken.map(({ name, trouble }) => `${name}: ${trouble ?? "?"}`).join("; ");
  if (used === undefined) {
    return error(check, `no usable CNI configuration in ${folder} (${troubles})`, noPods, ...mend);
  }
  if (broken.length > 0) {
    return warning(
      check,
      `${troubles} (in ${folder})`,
      `that file is passed over and ${used.name} (network ${used.network ?? ""}) is used`,
      ...broken.map(({ name }) => `rm ${folder}/${name}   # or fix it`),
    );
  }
  const rest =
    others.length === 0 ? "" : `; not used: ${others.map(({ name }) => name).join(", ")}`;
  return ok(check, `${folder}/${used.name}, network ${used.network ?? ""}${rest}`);
}

export function checkCniPlugins({ cni, config }: NodeFacts): Finding {
  const check = "cni-plugins";
  const used = cni.files.find(({ network }) => network !== undefined);
  if (used === undefined) return skipped(check, "not looked at: no CNI configuration names any");
  const mends = new Set<string>();
  for (const { type, failure } of cni.plugins) {
    if (failure === "untrusted") mends.add(`chown root:root FILE && chmod go-w FILE`);
    else if (packaged.has(type)) mends.add("apt-get install containernetworking-plugins");
    else mends.add(`kubectl -n kube-system get ds   # the add-on that installs ${type}`);
  }
  if (cni.plugins.length > 0) {
    const also =
      cni.problem === undefined ? "; a later file is used in its place, on another network" : "";
    return error(
      check,
      `${used.name} names ${cni.plugins.map(({ message }) => message).join("; ")}`,
      noPods + also,
      ...mends,
    );
  }
  if (cni.problem !== undefined) {
    return error(
      check,
      cni.problem,
      noPods,
      "kubectl get pods -A -o wide   # is the network add-on well here?",
      "apt-get install containernetworking-plugins   # newer ones",
    );
  }
  if (cni.notes !== undefined && cni.notes.length > 0) {
    return warning(
      check,
      cni.notes.join("; "),
      "CRI-O passes such a file over and takes the next one by name, which is another network; containerd takes it",
      "apt-get install containernetworking-plugins   # newer ones",
    );
  }
  if (cni.warnings !== undefined && cni.warnings.length > 0) {
    return warning(
      check,
      cni.warnings.join("; "),
      "plugins run as root: who can change their programs can become root on this node",
      "chown root:root FILE && chmod go-w FILE",
    );
  }
  return ok(check, `all programs that ${used.name} names are in ${config.cniBinDir.join(", ")}`);
}
