#!/bin/bash
# What the README's test command leaves out of the integration suite: what starts engines of its own or takes minutes
# (.mocharc.long.json), and what takes many seconds (.mocharc.slow.json). Arguments go to the first. Uses the engine that
# DOCKLINE_TEST_DOCKER_SOCKET names, else this machine's own, which it starts when it is not running. User namespaces need a runc
# that Debian's release does not have: it is built once, some minutes, where DOCKLINE_TEST_RUNC names none.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-long: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages || exit 1
install_test_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
DOCKLINE_TEST_RUNC=${DOCKLINE_TEST_RUNC:-$(test/lanes/docker-current build | grep '/runc$')} || exit 1
export DOCKLINE_TEST_RUNC
use_engine || exit 1
rc=0
mocha --config .mocharc.long.json "$@" || rc=$?
[ $# -gt 0 ] || mocha --config .mocharc.slow.json || rc=$?
exit $rc
