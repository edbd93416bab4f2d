#!/bin/bash
# Real kubelets (built once from Go modules: some minutes) on Dockline, with static pods: the newest that is tried, or with
# DOCKLINE_TEST_KUBELET=oldest the oldest. Uses the engine that
# DOCKLINE_TEST_DOCKER_SOCKET names, else this machine's own, which it starts when it is not running. With
# DOCKLINE_TEST_KUBELET_MINUTES=3 or more the probes run on 30 pods for so long, else on 10 for one. Arguments are test files, default all of
# test/kubelet. Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-kubelet: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_test_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
test/lanes/kubelet build >/dev/null || exit 1
# User namespaces need a runc that Debian's release does not have.
DOCKLINE_TEST_RUNC=${DOCKLINE_TEST_RUNC:-$(test/lanes/docker-current build | grep '/runc$')} || exit 1
export DOCKLINE_TEST_RUNC
use_engine || exit 1

[ $# -gt 0 ] || set -- test/kubelet/*.test.ts
# One process for each file: a hook that fails must not leave its kubelet to the next one.
lane_for_each "$@"
tally
