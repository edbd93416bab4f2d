#!/bin/bash
# A whole node of its own in namespaces: everything that the pages write to lies over the machine's
# own in memory, and goes with the last process. Started by stage.ts; says "ready" when it serves.
set -euo pipefail
root=$1
# An empty folder, whose owner removes it.
work=$2
# The namespace of mounts is a slave: nothing from here is seen outside.
mount --make-rslave /
mount -t tmpfs -o mode=755 stage "$work"
for folder in etc var run usr opt root home; do
  [ -d "/$folder" ] || continue
  mkdir -p "$work/$folder/upper" "$work/$folder/work"
  mount -t overlay -o "lowerdir=/$folder,upperdir=$work/$folder/upper,workdir=$work/$folder/work" \
    stage "/$folder"
done
# The checkout, where a page's command may leave a file.
mkdir "$work/checkout" "$work/checkout/upper" "$work/checkout/work"
mount -t overlay -o "lowerdir=$root,upperdir=$work/checkout/upper,workdir=$work/checkout/work" stage "$root"
# Docker's layers are overlays themselves, which do not lie on one.
mkdir -p /var/lib/docker /var/lib/kubelet /etc/cni/net.d /etc/docker /etc/dockline
mount -t tmpfs -o mode=710,size=768m stage /var/lib/docker
rm -f /usr/bin/dockline
rm -rf /run/docker* /var/lib/dockline /run/dockline /etc/cni/net.d/* /etc/docker/* /run/netns
ip link set lo up
mkdir "$work/bin"
ln -s "$root/bin/dockline" "$work/bin/dockline"
export PATH=$work/bin:$PATH:/usr/sbin:/sbin
mkdir -p /run/dockline
echo 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/cri-dockerd.sock --network-plugin=cni"' \
  >/var/lib/kubelet/kubeadm-flags.env
cp "$root/deploy/cni/10-dockline.conflist" /etc/cni/net.d/
# As the package lays them out.
mkdir -p /usr/share/doc/dockline/examples
cp "$root"/deploy/{crictl.yaml,cni/10-dockline.conflist,examples/web.yaml} /usr/share/doc/dockline/examples

mount --make-rshared /
dockerd >"$work/dockerd.log" 2>&1 </dev/null &
for ((left = 150; left > 0; left--)); do
  docker version >/dev/null 2>&1 && break
  sleep 0.2
done
docker version >/dev/null || { tail -5 "$work/dockerd.log"; exit 1; }
cd "$root"
# The name that the pages' examples pull, from the machine's own busybox.
busybox=$(mktemp -d "$work/image-XXXX")
mkdir -p "$busybox"/{bin,etc,tmp}
cp "$(command -v busybox)" "$busybox/bin/busybox"
for applet in $(busybox --list); do
  [ "$applet" = busybox ] || ln "$busybox/bin/busybox" "$busybox/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$busybox/etc/passwd"
tar -C "$busybox" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["sh"]' - docker.io/library/busybox:1.36 >/dev/null

# What a page may ask for, between commands: the server goes and comes.
serve() {
  # shellcheck disable=SC2086
  setsid $1 >>"$work/dockline.log" 2>&1 </dev/null &
  server=$!
  for ((left = 150; left > 0; left--)); do
    dockline version | grep -q "engine API" && return
    sleep 0.1
  done
  tail -5 "$work/dockline.log"
  return 1
}
serve "$root/bin/dockline serve"
dockline play deploy/examples/web.yaml --detach
echo ready
while read -r word; do
  case $word in
    stop) kill "$server"; wait "$server" 2>/dev/null || true; echo stopped ;;
    start) serve "$root/bin/dockline serve"; echo started ;;
    end) break ;;
  esac
done
dockline play deploy/examples/web.yaml --down >/dev/null 2>&1 || true
docker ps -aq | xargs -r docker rm -fv >/dev/null 2>&1 || true
kill "$server" 2>/dev/null || true
kill "$(cat /var/run/docker.pid)" 2>/dev/null || true
for ((left = 50; left > 0; left--)); do
  [ -e /var/run/docker.pid ] || break
  sleep 0.1
done
echo ended
