import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** dockerd in a mount namespace of its own, as a snap or with PrivateMounts=, MountFlags=, PrivateTmp= and the like. */
export function checkDockerMounts({ dockerMounts }: NodeFacts): Finding {
  const check = "docker-mounts";
  if (dockerMounts === undefined) {
    return skipped(check, "not looked at: dockerd is not among the processes that can be seen");
  }
  const { pid, propagation, snap } = dockerMounts;
  if (propagation === "shared") return ok(check, "Docker has the node's mounts");
  const what = `Docker${snap ? ", a snap," : ""} (pid ${pid}) runs in a mount namespace of its own`;
  const mend = snap
    ? ["apt-get install docker.io   # in place of the snap"]
    : [
        "systemctl show docker -p PrivateMounts -p MountFlags -p PrivateTmp",
        "systemctl edit docker   # turn off what is on",
        "systemctl restart docker",
      ];
  if (propagation === "private") {
    return error(
      check,
      `${what}, and mounts of the node do not reach it`,
      "volumes that the kubelet mounts after Docker has started (Secrets, tokens, CSI) are empty folders in containers",
      ...mend,
    );
  }
  return warning(
    check,
    `${what}; mounts of the node reach it, its own do not reach the node`,
    "volumes work, but what a container mounts for the node (mountPropagation: Bidirectional, as CSI drivers do) stays inside",
    ...mend,
  );
}
