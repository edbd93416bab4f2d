#!/bin/bash
# A node on cgroup v2 with AppArmor, swap, crun and all capabilities: Debian's Docker in user-mode-linux, cgroupfs driver. Three to
# five minutes, since all is some 20 times slower in there. Arguments go to mocha.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages || exit 1
install_packages crun:crun busybox:busybox-static /usr/lib/cni/bridge:containernetworking-plugins || exit 1
PATH=$PWD/node_modules/.bin:$PATH
# One file instead of hundreds, compiled once outside.
[ -n "${DOCKLINE_BUILT:-}" ] || node scripts/build.ts >/dev/null || exit 1
export DOCKLINE_BUNDLE=1
exec test/lanes/uml --limit 1000 mocha --no-config --exit --timeout 120000 --slow 60000 \
  --node-option disable-warning=ExperimentalWarning --require test/support/compatibility.ts --grep @cgroup2 \
  test/cgroup2/node.test.ts test/cgroup2/clock.test.ts test/integration/stats.test.ts "$@"
