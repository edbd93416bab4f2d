#!/bin/bash
# What depends on the engine, on each engine, image store and runtime that can be had: Debian's own packages in roots of their own, and
# Docker's release lines built from Go modules. Each lane's results are kept in docs/compatibility, and docs/compatibility.md is made
# of them. An hour or more; with names of lanes only these, with --list their names.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh

# A lane's name, then its command. Debian 12's engine has no containerd store, 29 wants runc 1.2 or newer.
lanes='debian-12 docker-debian 12
debian-12-crun docker-debian 12 --runtime crun
engine-24 docker-engine 24
engine-24-containerd docker-engine 24 --store containerd
engine-25 docker-engine 25
engine-25-containerd docker-engine 25 --store containerd
debian-13 docker-debian 13
debian-13-containerd docker-debian 13 --store containerd
debian-13-crun docker-debian 13 --runtime crun
engine-27 docker-engine 27
engine-27-containerd docker-engine 27 --store containerd
engine-28 docker-engine 28
engine-28-containerd docker-engine 28 --store containerd
engine-28-runc-1.1 docker-engine 28 --runtime runc-1.1
engine-28-runc-1.2 docker-engine 28 --runtime runc-1.2
engine-29 docker-engine 29
engine-29-containerd docker-engine 29 --store containerd
engine-29-runc-1.4 docker-engine 29 --runtime runc-1.4
engine-29-runc-1.5 docker-engine 29 --runtime runc-1.5'

case ${1-} in
  -h | --help) sed -n '2,4s/^# //p' "$0" && exit ;;
  --list) cut -d' ' -f1 <<<"$lanes" && exit ;;
  -*) echo "test-engines: unknown option $1" >&2 && exit 2 ;;
esac
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cut -d' ' -f1 <<<"$lanes")
for name in "${names[@]}"; do
  grep -q "^$name " <<<"$lanes" || { echo "test-engines: no lane $name; --list has them" >&2 && exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "test-engines: run it as root (it starts containers)" >&2 && exit 1; }
install_npm_packages || exit 1
install_test_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
for name in "${names[@]}"; do
  read -r -a command <<<"$(sed -n "s/^$name //p" <<<"$lanes")"
  lane "$name" env DOCKLINE_COMPATIBILITY_LANE="$name" "test/lanes/${command[0]}" "${command[@]:1}" mocha --config .mocharc.engines.json
done
node scripts/compatibility-page.ts
tally
