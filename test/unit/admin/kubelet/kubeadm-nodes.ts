import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The files that kubeadm of one minor leaves in its folder, in its own form. */
export interface KubeadmNode {
  minor: number;
  /** How the node came to be. */
  how: string;
  env: string;
  /** `containerRuntimeEndpoint` in config.yaml; kubeadm writes the key, empty, where a flag has it. */
  configEndpoint: string;
  instance: string | undefined;
  /** Whether kubeadm's next run on the node asks for the annotation. */
  annotated: boolean;
}

const envOf = (...flags: string[]): string =>
  `KUBELET_KUBEADM_ARGS=${JSON.stringify(flags.join(" "))}\n`;
const flagOf = (socket: string): string => `--container-runtime-endpoint=${socket}`;
const instanceOf = (socket: string): string =>
  `containerRuntimeEndpoint: ${JSON.stringify(socket)}\n`;
const pause = "--pod-infra-container-image=registry.k8s.io/pause:3.10";

/**
 * As `kubeadm init` of each version leaves them, and as its upgrades do, by its source (the last patch
 * release of each minor, 1.31 to 1.37). The pause image's flag is written until 1.34.
 */
export function kubeadmNodes(socket: string): KubeadmNode[] {
  const byFlag = (minor: number, how = "init"): KubeadmNode => ({
    minor,
    how,
    env: envOf(flagOf(socket), ...(minor < 35 ? [pause] : [])),
    configEndpoint: "",
    instance: undefined,
    annotated: true,
  });
  const byFile = (minor: number, how: string, ...flags: string[]): KubeadmNode => ({
    minor,
    how,
    env: envOf(...flags),
    configEndpoint: socket,
    instance: instanceOf(socket),
    annotated: false,
  });
  return [
    byFlag(31),
    byFlag(32),
    byFlag(33),
    byFile(33, "init with the gate NodeLocalCRISocket", pause),
    // 1.32 and 1.33 leave the flag where they write the file at an upgrade.
    byFile(33, "upgrade with that gate", flagOf(socket), pause),
    byFile(34, "init", pause),
    byFile(34, "upgrade from 1.33", pause),
    byFlag(34, "init without that gate"),
    byFile(35, "init"),
    byFlag(35, "init without that gate"),
    byFile(36, "init", "--hostname-override=node1"),
    byFile(37, "init", "--hostname-override=node1"),
  ];
}

/** kubeadm writes the whole configuration, its keys in order; the middle of it is left out. */
export const configOf = (endpoint: string): string =>
  [
    "apiVersion: kubelet.config.k8s.io/v1beta1",
    "authentication:",
    "  anonymous:",
    "    enabled: false",
    "  x509:",
    "    clientCAFile: /etc/kubernetes/pki/ca.crt",
    "cgroupDriver: systemd",
    "clusterDNS:",
    "- 10.96.0.10",
    `containerRuntimeEndpoint: ${endpoint === "" ? '""' : endpoint}`,
    "cpuManagerReconcilePeriod: 0s",
    "kind: KubeletConfiguration",
    "staticPodPath: /etc/kubernetes/manifests",
    "",
  ].join("\n");

/** Writes them below a folder and returns their paths. */
export function writeNode(
  folder: string,
  { env, configEndpoint, instance }: KubeadmNode,
): { env: string; config: string; instance: string } {
  mkdirSync(folder, { recursive: true });
  const paths = {
    env: join(folder, "kubeadm-flags.env"),
    config: join(folder, "config.yaml"),
    instance: join(folder, "instance-config.yaml"),
  };
  writeFileSync(paths.env, env);
  writeFileSync(paths.config, configOf(configEndpoint), { mode: 0o644 });
  if (instance !== undefined) writeFileSync(paths.instance, instance);
  return paths;
}
