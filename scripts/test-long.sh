#!/bin/bash
# What of the integration suite starts engines of its own or takes minutes (.mocharc.long.json). Uses the engine that
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
mocha --config .mocharc.long.json "$@"
