#!/bin/bash
# Every command of README.md, docs/ and deploy/, run on a node of its own in namespaces, or looked up. Arguments go to mocha.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-docs: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages || exit 1
install_test_packages || exit 1
install_packages curl:curl || exit 1
PATH=$PWD/node_modules/.bin:$PATH
exec mocha --no-config --timeout 90000 --slow 10000 --node-option disable-warning=ExperimentalWarning test/docs/*.test.ts "$@"
