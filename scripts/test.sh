#!/bin/bash
# The README's second command: the whole quick suite on this machine's own Docker Engine. Installs
# and starts what is missing; what it started it ends. Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_test_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH

lane "check" npm run --silent check
start_engine || exit 1
trap stop_engine EXIT
# What starts engines of its own, or waits for long, takes minutes: npm run test:long.
mapfile -t left < <(node -p '["long", "slow"].flatMap((name) => require(`./.mocharc.${name}.json`).spec).join("\n")')
lane "integration" mocha --config .mocharc.integration.json "${left[@]/#/--ignore=}"
tally
