import { checkCgroupDriver, checkCgroupVersion } from "./cgroups.ts";
import { checkCniConfig, checkCniPlugins } from "./cni.ts";
import { checkDaemonSettings } from "./daemon-settings.ts";
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
import { checkRunc } from "./runc.ts";
import { checkDocklineSocket, checkDockerSocket, checkDockerTcp, checkServer } from "./sockets.ts";

/** In the order in which a node comes up: the first error is often the cause of the next. */
const checks: readonly ((node: NodeFacts) => Finding | Finding[])[] = [
  checkRights,
  checkEngine,
  checkDockerSocket,
  checkDockerTcp,
  checkDaemonSettings,
  checkStorage,
  checkDisks,
  checkCgroupVersion,
  checkCgroupDriver,
  checkLiveRestore,
  checkLogDriver,
  checkRunc,
  checkEditing,
  checkPauseImage,
  checkLocalImages,
  checkCniConfig,
  checkCniPlugins,
  checkGivenUp,
  checkForward,
  checkDocklineSocket,
  checkServer,
  checkKubeletEndpoint,
  checkNextEndpoint,
  checkKubeletFlags,
  checkKubeletSeries,
  checkCriDockerd,
  checkLeftovers,
];

/** Judges the facts; without a clock, a file or a request of its own. */
export function examine(node: NodeFacts): Finding[] {
  return checks.flatMap((check) => check(node));
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
