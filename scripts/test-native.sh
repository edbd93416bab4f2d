#!/bin/bash
# Rebuilds the native programs and compares them with the committed ones, byte by byte; then runs those of arm64 in an emulator
# beside those of amd64.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
for program in pause oci dial; do
  if "deploy/$program/build" --check; then
    tally_passed=$((tally_passed + 1))
  else
    tally_failed=$((tally_failed + 1))
  fi
done
install_npm_packages || exit 1
# Where it can't be installed the tests fail and say so.
install_packages qemu-aarch64-static:qemu-user-static
PATH=$PWD/node_modules/.bin:$PATH
lane "arm64" mocha --no-config --node-option disable-warning=ExperimentalWarning 'test/native/*.test.ts'
tally
