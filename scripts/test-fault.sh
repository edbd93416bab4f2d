#!/bin/bash
# Faults that take more than some seconds, or that need an engine of their own: test/fault. What is shorter is in
# test/integration. Uses the engine that DOCKLINE_TEST_DOCKER_SOCKET names, else this machine's own, which it starts when
# it is not running; tests that kill dockerd start their own. DOCKLINE_FREEZE_SECONDS (60) is how long dockerd stands
# still. Arguments are test files, default all of test/fault. Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-fault: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_test_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
use_engine || exit 1

[ $# -gt 0 ] || set -- test/fault/*.test.ts
# One process for each file: a hook that fails must not leave its engine to the next one.
lane_for_each "$@"
tally
