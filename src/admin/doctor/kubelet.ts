import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** The socket that the configuration means; systemd's is the one of the package. */
export function socketOf(endpoint: string): string {
  return endpoint.startsWith("unix://")
    ? endpoint.slice("unix://".length)
    : "/run/dockline/dockline.sock";
}

/** Whether an endpoint, as somebody wrote it, is this socket: /var/run is /run on most machines. */
export function leadsTo(endpoint: string, socketPath: string): boolean {
  return resolved(endpoint.replace(/^unix:\/\//, "")) === resolved(socketPath);
}

export function checkKubeletEndpoint({ kubelet, config }: NodeFacts): Finding {
  const check = "kubelet-endpoint";
  if (kubelet.sources.length === 0) {
    return skipped(check, "no kubelet on this node (--kubelet-config, --kubelet-flags name files)");
  }
  const socket = socketOf(config.containerRuntimeEndpoint);
  const wanted = `unix://${socket}`;
  const { endpoint } = kubelet;
  const flags = kubelet.sources.find((source) => source.endsWith(".env"));
  const file = endpoint?.from ?? flags ?? kubelet.sources[0] ?? "";
  const line =
    flags === file
      ? `--container-runtime-endpoint=${wanted}`
      : `containerRuntimeEndpoint: ${wanted}`;
  if (endpoint === undefined && kubelet.troubles.length > 0) {
    return skipped(check, "the kubelet's configuration cannot be read");
  }
  if (endpoint === undefined) {
    return error(
      check,
      "the kubelet is not told which runtime to use",
      "it then takes containerd's own socket, where it finds none of Docker's pods",
      `in ${file}: ${line}`,
      "systemctl restart kubelet",
    );
  }
  if (leadsTo(endpoint.value, socket)) {
    return ok(check, `the kubelet's runtime is ${endpoint.value}`);
  }
  const theirs = /cri-?docker|dockershim/.test(endpoint.value);
  return error(
    check,
    `the kubelet's runtime is ${endpoint.value} (${endpoint.from}), not ${wanted}`,
    "Dockline is not asked for anything",
    ...(theirs ? ["dockline migrate --from cri-dockerd   # shows the steps"] : []),
    `in ${file}: ${line}`,
    "systemctl restart kubelet",
  );
}

export function checkKubeletFlags({ kubelet }: NodeFacts): Finding {
  const check = "kubelet-flags";
  if (kubelet.sources.length === 0) return skipped(check, "no kubelet on this node");
  const [removed] = kubelet.removedFlags;
  if (removed !== undefined) {
    const names = kubelet.removedFlags.map(({ flag }) => flag).join(", ");
    return error(
      check,
      `${removed.from} has ${names}`,
      "these went with dockershim: a kubelet from 1.24 on does not start with them",
      `dockline migrate --from dockershim --kubelet-flags ${removed.from}`,
    );
  }
  if (kubelet.troubles.length > 0) {
    return warning(
      check,
      kubelet.troubles.join("; "),
      "the kubelet may not start with it, and the checks above know only half",
      "kubelet --config FILE --v=2   # says what it does not like",
    );
  }
  return ok(check, `nothing of dockershim in ${kubelet.sources.join(", ")}`);
}

function resolved(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path.replace(/^\/var\/run\//, "/run/");
  }
}
