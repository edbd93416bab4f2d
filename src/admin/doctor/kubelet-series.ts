import { join } from "node:path";
import { facadeEndpoint } from "../../config/options.ts";
import type { Config } from "../../config/options.ts";
import type { NodeFacts } from "./facts.ts";
import { ok, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

type KubeletFacts = NodeFacts["kubelet"];

const gate = "PodAndContainerStatsFromCRI";
/** Before this minor, /metrics/resource has pods without their containers where the gate is on. */
const gateHasContainers = 36;

/** What a Prometheus that reads the kubelet has of the pods. */
export function checkKubeletSeries({ kubelet, config }: NodeFacts): Finding[] {
  const check = "kubelet-series";
  const { series, minor } = kubelet;
  if (series === undefined) return [];
  if (series === "cri" && minor !== undefined && minor < gateHasContainers) {
    return [
      warning(
        check,
        `the gate ${gate} takes the containers out of this kubelet's /metrics/resource`,
        `a kubelet before 1.${gateHasContainers} (this one is 1.${minor}) leaves them out: "kubectl top pod" and autoscalers see no usage`,
        `take ${gate} out of its feature gates`,
        ...facadeLines(kubelet, config),
        "systemctl restart kubelet",
      ),
    ];
  }
  if (series !== "none") {
    const from = series === "cri" ? "the CRI" : "cAdvisor";
    return [ok(check, `/metrics/cadvisor has pods and containers, by ${from}`)];
  }
  return [
    warning(
      check,
      "the kubelet's /metrics/cadvisor has no containers, and no page of it has the pods' network",
      "its cAdvisor knows containers of containerd alone; dashboards and alerts on container_… series stay empty",
      ...seriesLines(kubelet, config),
      "systemctl restart kubelet",
    ),
  ];
}

/** How this kubelet gets series of containers; one of unknown version has both ways to choose from. */
export function seriesLines(kubelet: KubeletFacts, config: Config): string[] {
  const { minor } = kubelet;
  const line = `in ${kubelet.config ?? "/var/lib/kubelet/config.yaml"}: featureGates: {${gate}: true}`;
  if (minor === undefined) {
    const [below, since] = [
      ` # before 1.${gateHasContainers}`,
      ` # from 1.${gateHasContainers} on`,
    ];
    return [line + since, ...facadeLines(kubelet, config, below)];
  }
  return minor < gateHasContainers ? facadeLines(kubelet, config) : [line];
}

function facadeLines({ sources }: KubeletFacts, config: Config, note = ""): string[] {
  const path = facadeEndpoint(config).replace(/^unix:\/\//, "");
  const usual = join(config.runDir, "containerd.sock");
  const file = sources.find((source) => /^\/etc\/(?:sysconfig|default)\/kubelet$/.test(source));
  return [
    ...(path === "" ? ["in /etc/dockline/config.yaml: facadeEndpoint: auto"] : []),
    `in ${file ?? "/etc/default/kubelet"}: --containerd=${path === "" ? usual : path}${note}`,
  ];
}
