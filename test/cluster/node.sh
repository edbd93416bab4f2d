#!/bin/bash
# The first process of a node in namespaces of its own. Builds the node's root over the machine's, starts registry, engine, runtime,
# kubelet and control plane there, says how it went in WORK/state and stays; everything ends with it. Started by test/lanes/cluster,
# which sets the variables below.
set -euo pipefail
: "${work:?}" "${checkout:?}" "${cache:?}" "${images:?}" "${programs:?}" "${runtime:?}" "${endpoint:?}" "${engine:?}" "${store:?}"
address=10.200.0.1
say() { echo "$(date +%T) $*"; }
trap 'echo "failed at line $LINENO: $BASH_COMMAND" >"$work/state"' ERR

# The machine's root is the lower layer: what is installed is there, what is written goes to memory.
build_root() {
  local folder
  mount --make-rprivate /
  mkdir -p "$work"/{memory,disk}
  mount -t tmpfs -o mode=755 node "$work/memory"
  mkdir "$work"/memory/{upper,work,root}
  mount -t overlay -o "lowerdir=/,upperdir=$work/memory/upper,workdir=$work/memory/work" node "$work/memory/root"
  cd "$work/memory/root"
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount --rbind /dev dev
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount_cgroups sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs run
  mkdir -p run/lock
  # Layers of images cannot lie on an overlay, and volumes and logs are looked at as a file system of their own.
  for folder in tmp var/tmp var/log var/lib/docker var/lib/containerd var/lib/kubelet var/lib/dockline var/lib/cni; do
    mkdir -p "$work/disk/$folder" "$folder"
    mount --bind "$work/disk/$folder" "$folder"
  done
  chmod 1777 tmp var/tmp
  rm -rf var/lib/etcd etc/docker etc/cni etc/kubernetes etc/dockline etc/containerd etc/NetworkManager opt/cni
  mkdir -p var/lib/etcd etc/docker etc/cni/net.d etc/kubernetes etc/containerd/certs.d/registry.k8s.io opt/cni usr/libexec/kubernetes
  mount -t tmpfs tmpfs var/lib/etcd
  # Those that the lower layer does not have, being mounts themselves or hidden by now.
  for folder in "$work" "$checkout" "$cache" "$images"; do
    mkdir -p ".$folder"
    mountpoint -q ".$folder" || mount --bind "$folder" ".$folder"
  done
  mkdir -p mnt/machine
  pivot_root . mnt/machine
  cd /
  umount -l /mnt/machine
  mount --make-rshared /
}

# A hierarchy shows the node's own part of it, as in any container of a namespace of its own.
mount_cgroups() {
  local names
  mount -t tmpfs -o mode=755 cgroup "$1"
  cut -d: -f2 /proc/self/cgroup | while read -r names; do
    [ -n "$names" ] || continue
    mkdir -p "$1/${names#name=}"
    case $names in
      name=*) mount -t cgroup -o "none,$names" cgroup "$1/${names#name=}" ;;
      *) mount -t cgroup -o "$names" cgroup "$1/$names" ;;
    esac
  done
}

# The kubelet sets these for the whole machine. It finds them as it wants them, and the machine's stay as they are.
shield_kernel_settings() {
  local pair file
  mkdir -p /run/settings/proc
  # User namespaces get a proc of their own only where one lies that nothing covers.
  mount -t proc proc /run/settings/proc
  for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
    kernel/keys/root_maxbytes=25000000; do
    file=/run/settings/$(echo "${pair%=*}" | tr / .)
    echo "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${pair%=*}"
  done
}

network() {
  hostname node1
  printf '127.0.0.1 localhost registry.k8s.io\n%s node1\n' $address >/etc/hosts
  rm -f /etc/resolv.conf
  # Nobody serves names there: what is not of the cluster is unknown at once.
  echo "nameserver $address" >/etc/resolv.conf
  ip link set lo up
  ip link add node0 type bridge
  ip address add $address/24 dev node0
  ip link set node0 up
  ip route replace default dev node0
  sysctl -qw net.ipv4.ip_forward=1
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
  ln -s /usr/lib/cni /opt/cni/bin
  cat >/etc/cni/net.d/10-node.conflist <<C
{"cniVersion":"1.0.0","name":"node","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true},"snat":true},
 {"type":"firewall"}]}
C
}

# until_true SECONDS WHAT COMMAND...
until_true() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { say "$what: not in time" && return 1; }
    sleep 0.2
  done
}

registry() {
  printf 'version: 0.1\nlog: { level: warn }\nstorage: { filesystem: { rootdirectory: "%s" } }\nhttp: { addr: "127.0.0.1:80" }\n' "$images" >/run/registry.yml
  docker-registry serve /run/registry.yml >"$work/registry.log" 2>&1 &
  until_true 20 "the registry" curl -sf --noproxy '*' http://127.0.0.1/v2/
}

start_engine() {
  mkdir -p /run/engine
  echo '{"insecure-registries":["registry.k8s.io"],"exec-opts":["native.cgroupdriver=cgroupfs"]}' >/etc/docker/daemon.json
  local dockerd=/usr/sbin/dockerd
  if [ "$engine" != 20.10 ]; then
    dockerd=$engine
    [ "$store" = containerd ] && sed -i 's/^{/{"features":{"containerd-snapshotter":true},/' /etc/docker/daemon.json
    [ "$store" = containerd ] || sed -i 's/^{/{"storage-driver":"overlay2",/' /etc/docker/daemon.json
  fi
  "$dockerd" >"$work/dockerd.log" 2>&1 &
  until_true 60 "the engine" curl -sf --unix-socket /run/docker.sock http://engine/_ping
}

start_runtime() {
  case $runtime in
    containerd)
      echo 'server = "http://registry.k8s.io"' >/etc/containerd/certs.d/registry.k8s.io/hosts.toml
      TMPDIR=/var/lib/containerd "$checkout/test/lanes/containerd" --cni-conf-dir /etc/cni/net.d --registries /etc/containerd/certs.d start node >/dev/null
      ;;
    dockline)
      start_engine
      "$checkout/bin/dockline" serve >"$work/runtime.log" 2>&1 &
      ;;
    *)
      start_engine
      bash -c "exec $runtime" >"$work/runtime.log" 2>&1 &
      ;;
  esac
  until_true 60 "the runtime" test -S "${endpoint#unix://}"
}

# kubeadm finds no init system here; the kubelet starts when its configuration is there, and again when it ends.
kubelet_service() {
  local flags=/var/lib/kubelet/kubeadm-flags.env
  until [ -f $flags ] && [ -f /var/lib/kubelet/config.yaml ]; do sleep 0.2; done
  while :; do
    # shellcheck source=/dev/null
    . $flags
    # shellcheck disable=SC2086
    kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \
      --config=/var/lib/kubelet/config.yaml --node-ip=$address --v=2 $KUBELET_KUBEADM_ARGS >>"$work/kubelet.log" 2>&1 || true
    sleep 1
  done
}

control_plane() {
  sed -e "s#\${ENDPOINT}#$endpoint#; s#\${VERSION}#$(kubeadm version -o short)#; s#\${ADDRESS}#$address#" "$checkout/test/cluster/kubeadm.yaml" >/run/kubeadm.yaml
  kubelet_service &
  kubeadm init --config /run/kubeadm.yaml --ignore-preflight-errors=all --v=1 >"$work/kubeadm.log" 2>&1 || {
    tail -15 "$work/kubeadm.log"
    return 1
  }
}

all_running() {
  local pods
  kubectl get nodes | grep -q ' Ready' || return 1
  pods=$(kubectl get pods --namespace kube-system --no-headers)
  [ "$(grep -c ' 1/1 *Running ' <<<"$pods")" = "$(wc -l <<<"$pods")" ] && grep -q kube-proxy <<<"$pods" && grep -q coredns <<<"$pods"
}

build_root
shield_kernel_settings
network
export PATH=$programs:$PATH KUBECONFIG=/etc/kubernetes/admin.conf
registry
start_runtime
say "$runtime serves $endpoint"
control_plane
say "kubeadm init is through"
until_true 180 "all of kube-system running" all_running || {
  kubectl get pods --all-namespaces
  kubectl get events --all-namespaces --field-selector type=Warning | tail -10
  false
}
say "the node is Ready, all of kube-system runs"
trap - ERR
set +e
echo ready >"$work/state"
# Stays; reaps what is left behind by others.
while :; do sleep 3600 & wait $!; done
