import { count } from "../report.ts";
import type { NodeFacts } from "./facts.ts";
import { ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { leadsTo, socketOf } from "./kubelet.ts";

export function checkLeftovers({ leftovers }: NodeFacts): Finding[] {
  const check = "leftovers";
  const findings: Finding[] = [];
  for (const { runtime, root, files } of leftovers.checkpoints) {
    if (files === undefined) {
      findings.push(
        skipped(check, `${root} is there; only root and Docker can tell what in it is old`),
      );
    } else if (files.length > 0) {
      const pods = files.slice(0, 3).map(({ pod }) => pod);
      findings.push(
        warning(
          check,
          `${count(files.length, "checkpoint")} of ${runtime} in ${root} of pods that are gone: ` +
            `${pods.join(", ")}${files.length > 3 ? ", …" : ""}`,
          "harmless for Dockline; cri-dockerd would list each as a pod that is not ready",
          ...files.slice(0, 3).map(({ path }) => `rm ${path}`),
          ...(files.length > 3 ? [`dockline migrate --from ${runtime}   # lists all`] : []),
        ),
      );
    }
  }
  return findings.length > 0 ? findings : [ok(check, "no old checkpoints")];
}

export function checkCriDockerd({ leftovers, kubelet, config }: NodeFacts): Finding {
  const check = "cri-dockerd";
  const { criDockerd, units } = leftovers;
  const used =
    kubelet.endpoint === undefined ||
    !leadsTo(kubelet.endpoint.value, socketOf(config.containerRuntimeEndpoint));
  if (criDockerd.length === 0 && units.length === 0) {
    return ok(check, "cri-dockerd does not run and is not started at boot");
  }
  const what =
    criDockerd.length > 0
      ? `cri-dockerd runs (pid ${criDockerd.join(", ")})`
      : `${units.join(", ")} would start cri-dockerd at boot`;
  return warning(
    check,
    what,
    used
      ? "the node is not switched to Dockline yet"
      : "nobody asks it, and a kubelet that is pointed back by mistake would find it",
    used
      ? "dockline migrate --from cri-dockerd   # shows the steps"
      : "systemctl disable --now cri-docker.socket cri-docker.service",
  );
}
