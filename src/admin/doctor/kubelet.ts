import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isUnitFile } from "../kubelet/files.ts";
import { startOfKubelet } from "../kubelet/endpoint.ts";
import type { Found } from "../kubelet/endpoint.ts";
import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { seriesLines } from "./kubelet-series.ts";

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
  if (endpoint === undefined && kubelet.troubles.length > 0) {
    return skipped(check, "the kubelet's configuration cannot be read");
  }
  if (endpoint === undefined) {
    // Its flags alone do not say what its configuration has.
    const known = kubelet.config !== undefined || kubelet.noConfig === true;
    const files = kubelet.sources.filter((source) => source.startsWith("/"));
    const flags = files.find((source) => source.endsWith(".env")) ?? files[0] ?? startOfKubelet;
    const byFlag = flags.endsWith(".env") || kubelet.config === undefined;
    return (known ? error : warning)(
      check,
      "the kubelet has no runtime endpoint configured",
      "it then takes containerd's own socket, where it finds none of Docker's pods",
      endpointLine({ from: kubelet.config ?? "", ...(byFlag ? { flagOf: flags } : {}) }, wanted),
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
    endpointLine(endpoint, wanted),
    "systemctl restart kubelet",
  );
}

/** In the form of the place that has it: a flag, or a key of a configuration. */
const endpointLine = ({ from, flagOf }: Pick<Found, "from" | "flagOf">, wanted: string): string =>
  flagOf === undefined
    ? `in ${from}: containerRuntimeEndpoint: ${wanted}`
    : `in ${flagOf}: --container-runtime-endpoint=${wanted}`;

/** kubeadm writes the kubelet's configuration again at each upgrade, with what this file says. */
export function checkNextEndpoint({ kubelet, config }: NodeFacts): Finding[] {
  const check = "kubeadm-endpoint";
  const { endpoint, nextEndpoint, missingNext } = kubelet;
  const socket = socketOf(config.containerRuntimeEndpoint);
  if (endpoint === undefined || !leadsTo(endpoint.value, socket)) return [];
  const lineIn = (file: string): string =>
    `in ${file}: containerRuntimeEndpoint: "unix://${socket}"`;
  if (nextEndpoint === undefined) {
    if (missingNext === undefined) return [];
    return [
      warning(
        check,
        `${missingNext} does not name the kubelet's runtime`,
        "kubeadm's next upgrade then guesses among the sockets that it knows: containerd's, CRI-O's, cri-dockerd's",
        lineIn(missingNext),
      ),
    ];
  }
  if (leadsTo(nextEndpoint.value, socket)) {
    return [ok(check, `kubeadm's next upgrade leaves the kubelet at ${nextEndpoint.value}`)];
  }
  return [
    warning(
      check,
      `kubeadm's next upgrade points the kubelet at ${nextEndpoint.value} (${nextEndpoint.from})`,
      "the kubelet runs with Dockline now, and would not after that",
      lineIn(nextEndpoint.from),
    ),
  ];
}

export function checkKubeletFlags({ kubelet, config }: NodeFacts): Finding {
  const check = "kubelet-flags";
  if (kubelet.sources.length === 0) return skipped(check, "no kubelet on this node");
  const [removed] = kubelet.removedFlags;
  if (removed !== undefined) {
    const names = kubelet.removedFlags.map(({ flag }) => flag).join(", ");
    return error(
      check,
      `${removed.from} has ${names}`,
      "these went with dockershim: a kubelet from 1.24 on does not start with them",
      // Without a name it finds the unit, and what else it has to do with it.
      `dockline migrate --from dockershim${isUnitFile(removed.from) ? "" : ` --kubelet-flags ${removed.from}`}`,
    );
  }
  const { minor, lostFlags = [] } = kubelet;
  const lost = lostFlags.filter(({ since }) => minor === undefined || minor >= since);
  const [first] = lost;
  if (first !== undefined) {
    const sinces = [...new Set(lost.map(({ since }) => since))];
    const whys = sinces.map((since) => {
      const names = lost.filter((one) => one.since === since).map(({ flag }) => flag);
      return `from 1.${since} on a kubelet does not start with ${names.join(", ")}`;
    });
    const own =
      minor === undefined ? "the version of this one is not known" : `this one is 1.${minor}`;
    return (minor === undefined ? warning : error)(
      check,
      `${first.from} has ${lost.map(({ flag }) => flag).join(", ")}`,
      `${whys.join("; ")}; ${own}`,
      ...lost.map(({ flag, from }) => `in ${from}: take ${flag} out`),
      ...(lost.some(({ flag }) => flag === "--containerd") ? seriesLines(kubelet, config) : []),
      "systemctl restart kubelet",
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
  const aging = lostFlags.map(({ flag, since }) => `; ${flag} has to go before 1.${since}`);
  return ok(check, `nothing of dockershim in ${kubelet.sources.join(", ")}${aging.join("")}`);
}

function resolved(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path.replace(/^\/var\/run\//, "/run/");
  }
}
