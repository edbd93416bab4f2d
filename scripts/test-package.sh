#!/bin/bash
# Builds the packages and takes the one for amd64 through its life in a clean Debian root: installed, a pod under its unit's command
# line, upgraded and removed with the pod running, purged without a trace. Looks into the one for arm64.
#   --systemd   the same on a machine with systemd as init (slow: user-mode-linux), where the unit starts as it will
# Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-package: run it as root (it makes a root file system)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_packages dpkg-deb:dpkg readelf:binutils groff:groff-base qemu-aarch64-static:qemu-user-static \
  /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross || exit 1
PATH=$PWD/node_modules/.bin:$PATH
work=$(mktemp -d /var/tmp/dockline-test-package.XXXXXX)
trap 'rm -rf "$work"' EXIT

version=$(node -p 'require("./package.json").version')
next=${version%.*}.$((${version##*.} + 1))
old=$work/old/dockline_${version}_amd64.deb
new=$work/new/dockline_${next}_amd64.deb
arm=$work/old/dockline_${version}_arm64.deb
node scripts/package.ts --fast --out "$work/old" || exit 1
node scripts/package.ts --fast --out "$work/new" --arch amd64 --version "$next" || exit 1

if [ "${1-}" = --systemd ]; then
  lane "package under systemd" test/lanes/uml-systemd --share "$work" --limit 900 \
    bash test/package/on-systemd.sh "$old" "$new"
else
  node scripts/package.ts --fast --out "$work/again" --arch amd64 || exit 1
  lane "package contents" bash test/package/contents.sh "$old" "$arm" "$work/again/$(basename "$old")"
  lane "package in a clean root" test/lanes/debian-root --share "$work" --share "$PWD/test/package" \
    bash "$PWD/test/package/in-root.sh" "$old" "$new" "$next"
fi
tally
