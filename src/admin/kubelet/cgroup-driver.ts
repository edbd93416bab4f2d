import type { Finding } from "../report.ts";
import { flagIn, keyIn } from "./endpoint.ts";
import type { Found } from "./endpoint.ts";
import type { KubeletFiles } from "./files.ts";
import type { FoundKubelet } from "./steps.ts";

/** The kubelet's minor from which on it takes the driver from its runtime, whatever its files say. */
export const followsRuntime = 31;

/** The driver that the kubelet's files, or its command line, name. */
export const cgroupDriverOf = (files: KubeletFiles): Found | undefined =>
  flagIn(files, "--cgroup-driver") ?? keyIn(files, "cgroupDriver");

/** Docker's cgroup driver beside the one that the kubelet's files name. */
export function cgroupDriverFinding(docker: string, { files, minor }: FoundKubelet): Finding {
  const kubelets = cgroupDriverOf(files);
  if (kubelets === undefined) {
    return { level: "ok", text: `cgroup driver ${docker}; no file of the kubelet's names one` };
  }
  if (kubelets.value === docker) {
    return { level: "ok", text: `cgroup driver ${docker}, as in ${kubelets.from}` };
  }
  const differ = `cgroup driver ${docker}, but ${kubelets.value} in ${kubelets.from}`;
  return {
    level: "warn",
    text:
      minor !== undefined && minor >= followsRuntime
        ? `${differ}: this kubelet (1.${minor}) follows Docker`
        : `${differ}: a kubelet before 1.${followsRuntime} loses limits and figures of pods; change one of them`,
  };
}
