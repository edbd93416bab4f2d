#!/bin/bash
# A node as kubeadm makes it: systemd as init, Docker as its service with the systemd cgroup driver on cgroup v2, AppArmor, ext4;
# in user-mode-linux. Three to five minutes. Arguments go to mocha.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
[ -n "${DOCKLINE_BUILT:-}" ] || node scripts/build.ts >/dev/null || exit 1
export DOCKLINE_BUNDLE=1
exec test/lanes/uml-systemd --limit 480 mocha --no-config --exit --timeout 120000 --slow 60000 \
  --node-option disable-warning=ExperimentalWarning --grep @systemd \
  test/cgroup2/node.test.ts test/integration/stats.test.ts "$@"
