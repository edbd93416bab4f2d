#!/bin/bash
# Processor time that dockline-oci takes for one create, without Docker and with a real runtime that does nothing: what a busy
# machine hardly changes. As root; "oci-cost.sh [rounds]".
set -euo pipefail
program=$(cd "$(dirname "$0")/../.." && pwd)/deploy/oci/dockline-oci-$(dpkg --print-architecture)
rounds=${1:-200}
work=$(mktemp -d)
trap 'umount -l "$work/root" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 711 "$work"
mkdir -m 711 "$work/edits"
mkdir "$work/bundle" "$work/root" "$work/lower" "$work/upper" "$work/work"
cat >"$work/runtime" <<'RUNTIME'
#!/bin/sh
[ "$1" != features ] || echo '{"linux":{"mountExtensions":{"idmap":{"enabled":true}}}}'
RUNTIME
chmod 755 "$work/runtime"

# cost KIND: prints the milliseconds of one round.
cost() {
  local i kind=$1
  {
    for ((i = 0; i < rounds; i++)); do
      echo "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"$work/root\"},\"process\":{\"args\":[\"sh\"]},\"linux\":{\"namespaces\":[]},\"mounts\":[{\"destination\":\"/data\",\"source\":\"/d\",\"type\":\"bind\",\"options\":[\"bind\"]}]}" >"$work/bundle/config.json"
      mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
      case $kind in
        nothing) "$work/runtime" create --bundle "$work/bundle" c1 ;;
        *) "$program" "--real-runtime=$work/runtime" "--edits=$work/edits" create --bundle "$work/bundle" c1 ;;
      esac
      umount "$work/root"
    done
    times >"$work/times"
  }
  sed -n 2p "$work/times" | awk -v n="$rounds" '{ for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += t[1] * 60 + t[2] } printf "%.2f", s * 1000 / n }'
}

edits() { (umask 077 && echo "{\"v\":1,\"containerId\":\"c1\",$1}" >"$work/edits/c1.json"); }
nothing=$(cost nothing)
edits '"ops":[{"op":"mountOptions","destination":"/data","add":["noexec"],"remove":[]}]'
option=$(cost option)
edits '"userNamespace":{"hostId":131072,"size":65536}'
namespace=$(cost namespace)
awk -v a="$nothing" -v b="$option" -v c="$namespace" 'BEGIN { printf "the real runtime alone %.2f ms; with a mount option +%.2f ms; with a user namespace +%.2f ms\n", a, b - a, c - a }'
