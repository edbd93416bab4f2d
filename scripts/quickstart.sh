#!/bin/bash
# The README's first command: from a fresh Debian or Ubuntu machine with Node, npm and root to a
# served pod. Everything that it starts it ends again; what it installs stays installed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
[ "$(id -u)" = 0 ] || { echo "quickstart: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages
install_packages dockerd:docker.io /usr/lib/cni/bridge:containernetworking-plugins \
  busybox:busybox-static iptables:iptables ip:iproute2
exec node_modules/.bin/node --disable-warning=ExperimentalWarning scripts/quickstart.ts "$@"
