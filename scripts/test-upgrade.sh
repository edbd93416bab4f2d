#!/bin/bash
# Builds the package of an earlier commit from this checkout's history, and today's. Replaces the older one with today's and goes back
# again, while pods run or are partially created or stopped: by dpkg in a clean Debian root, then with exec, port-forward, stats and
# `hostUsers: false` on the machine's own engine and on a current one. Its last line is "N passed, N failed"; exit code 77 where the
# history is not there.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# Before the pod's life got one object and its record new fields; the state on the nodes is of that day.
old_commit=69047395e6eacf350a543c423460b35fc6c33ba7
if ! git cat-file -e "$old_commit^{commit}" 2>/dev/null; then
  echo "test-upgrade: left out: this checkout has no commit $old_commit, whose package is the older one (git fetch --unshallow gets it)" >&2
  exit 77
fi
[ "$(id -u)" = 0 ] || { echo "test-upgrade: run it as root (it starts containers)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_test_packages || exit 1
install_packages dpkg-deb:dpkg || exit 1
PATH=$PWD/node_modules/.bin:$PATH
work=$(mktemp -d /var/tmp/dockline-test-upgrade.XXXXXX)
trap 'rm -rf "$work"' EXIT

mkdir "$work/tree"
git archive "$old_commit" | tar -x -C "$work/tree" || exit 1
if cmp -s package-lock.json "$work/tree/package-lock.json"; then
  ln -s "$(readlink -f node_modules)" "$work/tree/node_modules"
else
  echo "installing the npm packages of the older commit"
  (cd "$work/tree" && npm ci --no-audit --no-fund --loglevel=error >/dev/null) || exit 1
fi
architecture=$(dpkg --print-architecture)
version=$(node -p 'require("./package.json").version')
next=${version%.*}.$((${version##*.} + 1))
# There is no history in an archive to take the time from.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$old_commit") \
  node "$work/tree/scripts/package.ts" --fast --arch "$architecture" --out "$work/old" || exit 1
node scripts/package.ts --form deb --fast --arch "$architecture" --version "$next" --out "$work/new" || exit 1
DOCKLINE_TEST_OLD_PACKAGE=$(echo "$work"/old/dockline_*.deb)
DOCKLINE_TEST_NEW_PACKAGE=$(echo "$work"/new/dockline_*.deb)
export DOCKLINE_TEST_OLD_PACKAGE DOCKLINE_TEST_NEW_PACKAGE

lane "upgrade and back by dpkg" test/lanes/debian-root --share "$work" --share "$PWD/test" \
  bash "$PWD/test/upgrade/in-root.sh" "$DOCKLINE_TEST_OLD_PACKAGE" "$DOCKLINE_TEST_NEW_PACKAGE"
programs=$(test/lanes/docker-current build) || exit 1
{ read -r dockerd && read -r runc; } <<<"$programs"
mount --make-rshared / 2>/dev/null || true
tests=(mocha --no-config --exit --timeout 60000 --slow 30000 --node-option disable-warning=ExperimentalWarning test/upgrade/upgrade.test.ts)
# User namespaces need a runc that Debian's release does not have.
export DOCKLINE_TEST_RUNC=$runc
lane "upgrade and back, this machine's engine" "${tests[@]}"
lane "upgrade and back, current engine" env PATH="$(dirname "$runc"):$PATH" DOCKLINE_TEST_DOCKERD="$dockerd" DOCKLINE_TEST_STORE=driver "${tests[@]}"
tally
