#!/bin/bash
# Dockline beside containerd 2.4: the same configurations through both CRI sockets, and a comparison of what the processes see.
# Uses the engine that DOCKLINE_TEST_DOCKER_SOCKET names, else this machine's own, which it starts when it is not running.
#
#   npm run test:differential -- [--seed N] [--count N] [MOCHA_ARG...]
#
# --count is how many configurations are drawn beside those picked by hand (200), --seed what they are drawn from.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
[ "$(id -u)" = 0 ] || { echo "test-differential: run it as root (it starts containers)" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --seed) export DOCKLINE_DIFFERENTIAL_SEED=$2 && shift 2 ;;
    --count) export DOCKLINE_DIFFERENTIAL_COUNT=$2 && shift 2 ;;
    *) break ;;
  esac
done
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages
install_test_packages
PATH=$PWD/node_modules/.bin:$PATH
use_engine
# Both runtimes give a container that asks for no OOM score the one that they find; it should be the kernel's default.
echo 0 >/proc/self/oom_score_adj 2>/dev/null || true
test/lanes/containerd mocha --no-config --exit --timeout 60000 --node-option disable-warning=ExperimentalWarning \
  "$@" test/differential/differential.test.ts test/differential/metrics.test.ts
