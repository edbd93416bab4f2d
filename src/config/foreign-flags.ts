/** cri-dockerd's flags that have no meaning here, with what takes their place. */
export const refusedFlags: Readonly<Record<string, string>> = {
  "cri-dockerd-root-directory":
    "sandbox records live under --state-dir; cri-dockerd's checkpoints are not needed",
  "hairpin-mode": "set hairpinMode in the CNI bridge plugin's configuration",
  "network-plugin-mtu": "set mtu in the CNI plugin's configuration",
  "runtime-cgroups": "put docker.service and containerd.service in a slice of your own",
};

/** cri-dockerd's flags that are taken and change nothing, because it is always so here. */
export const acceptedFlags: Readonly<Record<string, string>> = {
  "ipv6-dual-stack": "all addresses of a pod are always reported",
};
