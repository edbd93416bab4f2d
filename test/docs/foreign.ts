/**
 * Programs of others that pages name and that this machine may lack: their verbs, and the flags that
 * the pages may use, from the programs' own documentation. "" are flags without a verb.
 */
export const foreign: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  kubectl: {
    "": ["--kubeconfig", "-n", "--namespace"],
    annotate: ["--overwrite", "--all"],
    apply: ["-f", "-k"],
    attach: ["-it", "-i", "-t", "-c"],
    cordon: [],
    delete: ["-f", "--force", "--grace-period", "-n"],
    describe: ["-n"],
    drain: ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout"],
    exec: ["-it", "-i", "-t", "-c", "-n"],
    get: ["-A", "--all-namespaces", "-n", "-o", "-w", "-l", "--raw"],
    logs: ["-f", "--previous", "-c", "-n", "--since"],
    "port-forward": ["-n", "--address"],
    top: ["-A", "-n"],
    uncordon: [],
    edit: ["-n"],
    label: ["--overwrite"],
    debug: ["-it", "--image"],
    patch: ["-p", "--type", "--subresource"],
    taint: [],
  },
  kubeadm: {
    init: ["--config", "--cri-socket", "--pod-network-cidr", "--ignore-preflight-errors"],
    join: ["--config", "--cri-socket", "--token", "--discovery-token-ca-cert-hash"],
    reset: ["--cri-socket", "-f", "--force"],
    upgrade: ["node", "apply", "plan"],
    token: ["create", "--print-join-command"],
    config: ["images", "--cri-socket"],
  },
  crictl: {
    "": ["--runtime-endpoint", "--image-endpoint", "-r", "-i", "--config", "--timeout", "-D"],
    attach: ["-i", "-t"],
    exec: ["-i", "-t", "-s", "--sync", "--timeout"],
    images: ["-v", "-q"],
    imagefsinfo: [],
    info: ["-o", "-q"],
    inspect: ["-o"],
    inspecti: ["-o"],
    inspectp: ["-o"],
    logs: ["-f", "--follow", "--tail"],
    pods: ["-q", "-v", "--name", "--label"],
    ps: ["-a", "-q", "-v", "--pod"],
    pull: ["--creds", "--auth"],
    rm: ["-f"],
    rmp: ["-f"],
    rmi: ["--prune"],
    stats: [],
    statsp: [],
    stop: ["-t"],
    stopp: [],
    version: [],
  },
  "dockerd-rootless-setuptool.sh": { uninstall: [] },
  systemctl: Object.fromEntries(
    "start stop restart reload enable disable status edit daemon-reload cat is-active mask unmask show"
      .split(" ")
      .map((verb) => [verb, ["--now", "--no-pager", "-p"]]),
  ),
  journalctl: { "": ["-u", "-n", "-f", "-o", "--since", "-b", "-k", "--no-pager", "-e"] },
  apt: { install: ["-y", "-o"], update: [], remove: ["-y"], purge: ["-y"], upgrade: ["-y"] },
  "apt-get": {
    install: ["-y", "--only-upgrade", "--no-install-recommends"],
    update: [],
    remove: ["-y"],
    purge: ["-y"],
    upgrade: ["-y"],
  },
  dpkg: { "": ["-i", "-l", "-r", "-P", "--purge", "--print-architecture", "-L", "--configure"] },
  dnf: { install: ["-y"], remove: ["-y"], upgrade: ["-y"] },
  zypper: { install: ["--allow-unsigned-rpm", "-y"], remove: ["-y"] },
  kubelet: {
    "": [
      ...["--container-runtime-endpoint", "--containerd", "--config", "--v", "--cgroup-driver"],
      ...["--node-ip", "--hostname-override", "--feature-gates", "--kubeconfig", "--fail-cgroupv1"],
      ...["--bootstrap-kubeconfig", "--pod-infra-container-image", "--runtime-cgroups"],
    ],
  },
  ctr: { "": ["-n", "--namespace", "-a"], images: ["import", "ls", "--platform"], containers: [] },
  nerdctl: { "": ["-n", "--namespace"], load: ["-i"], images: [] },
  containerd: { config: ["default", "dump"] },
  helm: { install: ["--set", "-n"], upgrade: ["--set", "--install"] },
  man: { "": [] },
  du: { "": ["-xh", "-d2"] },
  dmesg: { "": [] },
  mount: { "": ["-o", "-t"] },
  "mkfs.xfs": { "": ["-n"] },
  sysctl: { "": ["-w"] },
  chown: { "": [] },
  rm: { "": ["-f", "-rf"] },
  git: { config: [], commit: ["--signoff", "--no-verify"], clone: [], fetch: ["--unshallow"] },
  gh: { attestation: ["--repo"] },
  sha256sum: { "": ["--check", "--ignore-missing"] },
  python3: { "": ["-m"] },
  reboot: { "": [] },
  jq: { "": ["-r", "-e"] },
  sudo: { "": ["-i", "-E"] },
  curl: { "": ["-s", "-f", "-fsS", "-sS", "--unix-socket", "-L", "-o", "-fsSL", "-k"] },
};

/** Undefined when program, verb and flags are known; else what is not. */
export function foreignTrouble(words: readonly string[]): string | undefined {
  const [program = "", ...rest] = words;
  const verbs = foreign[program];
  if (verbs === undefined) return `the program ${program} is not known`;
  const verb = rest.find((word) => Object.hasOwn(verbs, word)) ?? "";
  const named = rest.find((word) => !word.startsWith("-"));
  const hasVerbs = Object.keys(verbs).some((name) => name !== "");
  if (verb === "" && hasVerbs && named !== undefined) return `${program} has no ${named}`;
  const flags = new Set([...(verbs[""] ?? []), ...(verbs[verb] ?? [])]);
  const unknown = rest.find(
    (word) => /^--?[A-Za-z]/.test(word) && !flags.has(word.split("=", 1)[0] ?? ""),
  );
  return unknown === undefined ? undefined : `${program} ${verb}: the flag ${unknown} is not known`;
}
