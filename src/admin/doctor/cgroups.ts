import { followsRuntime } from "../kubelet/cgroup-driver.ts";
import type { NodeFacts } from "./facts.ts";
import { error, ok, warning, withoutEngine } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** The minor of the kubelet that refuses cgroup v1 unless told otherwise. */
const refusesV1 = 35;

export function checkCgroupDriver({ engine, kubelet, daemon, systemd }: NodeFacts): Finding {
  const check = "cgroup-driver";
  if (engine === undefined) return withoutEngine(check);
  const docker = engine.info.CgroupDriver;
  const other = kubelet.cgroupDriver;
  if (other !== undefined && other.value !== docker) {
    const what = `Docker uses ${docker}, the kubelet ${other.value} (${other.from})`;
    const mend = [
      `in ${daemon.path}: "exec-opts": ["native.cgroupdriver=${other.value}"]`,
      "systemctl restart docker kubelet",
    ];
    if (kubelet.minor !== undefined && kubelet.minor >= followsRuntime) {
      const why = `this kubelet (1.${kubelet.minor}) follows Docker, but its configuration says something else`;
      const line =
        other.flagOf === undefined
          ? `in ${other.from}: cgroupDriver: ${docker}`
          : `in ${other.flagOf}: --cgroup-driver=${docker}`;
      return warning(check, what, why, line);
    }
    return (kubelet.minor === undefined ? warning : error)(
      check,
      what,
      `a kubelet before 1.${followsRuntime} looks for pods in another place than Docker: limits and ` +
        "statistics of pods are lost, or pods fail to start. Change one of them on a drained node" +
        (kubelet.minor === undefined
          ? ". Newer kubelets follow Docker; the version of this one is not known"
          : ""),
      ...mend,
    );
  }
  if (systemd && docker === "cgroupfs") {
    return warning(
      check,
      "Docker uses cgroupfs where systemd is the init",
      "two programs manage one cgroup tree, which goes wrong when memory is short. Change it " +
        "on a drained node, with the kubelet's cgroupDriver",
      `in ${daemon.path}: "exec-opts": ["native.cgroupdriver=systemd"]`,
      "systemctl restart docker kubelet",
    );
  }
  const kubelets =
    other !== undefined
      ? "as the kubelet has it"
      : `the kubelet asks Dockline for it (from 1.${followsRuntime} on, before that set cgroupDriver)`;
  return ok(check, `${docker}, ${kubelets}`);
}

export function checkCgroupVersion({ engine, kubelet }: NodeFacts): Finding {
  const check = "cgroup-version";
  if (engine === undefined) return withoutEngine(check);
  // An engine that does not know the word is older than cgroup v2 in Docker.
  if (engine.info.CgroupVersion === "2") return ok(check, "cgroup v2");
  if (kubelet.failCgroupV1 === false) {
    return ok(check, "cgroup v1; the kubelet allows it (failCgroupV1: false)");
  }
  const refuses = kubelet.minor !== undefined && kubelet.minor >= refusesV1;
  return (refuses ? error : warning)(
    check,
    "this node has cgroup v1",
    (refuses ? `this kubelet (1.${kubelet.minor})` : `a kubelet from 1.${refusesV1} on`) +
      " does not start on it unless failCgroupV1 is false; memory QoS and cgroup keys do not " +
      "exist there",
    "on the kernel's command line: systemd.unified_cgroup_hierarchy=1",
    "or in the kubelet's configuration: failCgroupV1: false",
  );
}
