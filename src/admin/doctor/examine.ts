import { checkCgroupDriver, checkCgroupVersion } from "./cgroups.ts";
import { checkCniConfig, checkCniPlugins } from "./cni.ts";
import { checkDaemonSettings } from "./daemon-settings.ts";
import { checkDockerMounts } from "./docker-mounts.ts";
import { checkDisks } from "./disk.ts";
import { checkEditing } from "./editing.ts";
import {
  checkEngine,
  checkLiveRestore,
  checkLocalImages,
  checkLogDriver,
  checkPauseImage,
  checkStorage,
} from "./engine.ts";
import type { NodeFacts } from "./facts.ts";
import { warning } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { checkGivenUp } from "./given-up.ts";
import { checkForward } from "./forward.ts";
import { checkKubeletEndpoint, checkKubeletFlags, checkNextEndpoint } from "./kubelet.ts";
import { checkKubeletSeries } from "./kubelet-series.ts";
import { checkCriDockerd, checkLeftovers } from "./leftovers.ts";
import { checkNriSocket } from "./nri-socket.ts";
import { checkOwed } from "./owed.ts";
import { checkRunc } from "./runc.ts";
import { checkDocklineSocket, checkDockerSocket, checkDockerTcp, checkServer } from "./sockets.ts";

type Check = (node: NodeFacts) => Finding | Finding[];

/** By name, in the order in which a node comes up: the first error is often the cause of the next. */
const checks: readonly (readonly [string, Check])[] = [
  ["rights", checkRights],
  ["engine", checkEngine],
  ["docker-socket", checkDockerSocket],
  ["docker-tcp", checkDockerTcp],
  ["docker-mounts", checkDockerMounts],
  ["daemon-json", checkDaemonSettings],
  ["storage", checkStorage],
  ["disk", checkDisks],
  ["cgroup-version", checkCgroupVersion],
  ["cgroup-driver", checkCgroupDriver],
  ["live-restore", checkLiveRestore],
  ["log-driver", checkLogDriver],
  ["runc", checkRunc],
  ["dockline-oci", checkEditing],
  ["pause-image", checkPauseImage],
  ["local-images", checkLocalImages],
  ["cni-config", checkCniConfig],
  ["cni-plugins", checkCniPlugins],
  ["given-up-addresses", checkGivenUp],
  ["owed", checkOwed],
  ["forward", checkForward],
  ["nri-socket", checkNriSocket],
  ["dockline-socket", checkDocklineSocket],
  ["dockline-status", checkServer],
  ["kubelet-endpoint", checkKubeletEndpoint],
  ["kubeadm-endpoint", checkNextEndpoint],
  ["kubelet-flags", checkKubeletFlags],
  ["kubelet-series", checkKubeletSeries],
  ["cri-dockerd", checkCriDockerd],
  ["leftovers", checkLeftovers],
];

/** What findings are called, and `--check` takes. */
export const checkNames: readonly string[] = checks.map(([name]) => name);

/**
 * Judges the facts; without a clock, a file or a request of its own.
 *
 * @param only names of checks; all of them where it is empty
 */
export function examine(node: NodeFacts, only: readonly string[] = []): Finding[] {
  return checks
    .filter(([name]) => only.length === 0 || only.includes(name))
    .flatMap(([, check]) => check(node));
}

function checkRights({ root }: NodeFacts): Finding[] {
  if (root) return [];
  return [
    warning(
      "rights",
      "the doctor does not run as root",
      "sockets, iptables and folders that only root may read are missing from what follows",
      "sudo dockline doctor",
    ),
  ];
}
