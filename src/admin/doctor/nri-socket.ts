import type { NodeFacts } from "./facts.ts";
import { ok, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** Reports another runtime on the socket where NRI plugins expect the one that runs the pods. */
export function checkNriSocket({ nri, daemon }: NodeFacts): Finding {
  const check = "nri-socket";
  const { path, listener, docker, enabled, own } = nri;
  const dockerOff = [
    `in ${daemon.path}: "nri-opts": {"enable": false}`,
    "systemctl restart docker",
  ];
  if (docker) {
    return warning(
      check,
      "Docker's own NRI is switched on",
      "its plugins take each container, pause containers among them, for a workload without a pod; give them to Dockline instead",
      ...dockerOff,
    );
  }
  if (own === true) return ok(check, `Dockline listens on ${path}`);
  if (listener === undefined) {
    const why = enabled ? "Dockline does not run, or could not listen: see its log" : "NRI is off";
    return ok(check, `nobody listens on ${path}; ${why}`);
  }
  return warning(
    check,
    `${listener} listens on ${path}`,
    "NRI plugins of this node connect there and see none of the pods that Dockline runs; Dockline's NRI stays off",
    ...(listener.startsWith("containerd")
      ? [
          'in /etc/containerd/config.toml: add "io.containerd.nri.v1.nri" to disabled_plugins',
          "systemctl restart containerd   # its containers run on",
        ]
      : [`ls -l ${path}`]),
  );
}
