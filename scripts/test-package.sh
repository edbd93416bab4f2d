#!/bin/bash
# Builds the packages (deb, RPM, tarball) and takes those for amd64 through their life in a clean Debian root: installed, a pod under the
# unit's command line, upgraded and removed with the pod running, gone without a trace. Looks into those for arm64, and builds them twice.
#   --systemd   the Debian package and the tarball, on a machine with systemd as init (slow: user-mode-linux), where the unit starts as it will
# Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-package: run it as root (it makes a root file system)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
install_packages dpkg-deb:dpkg || exit 1
PATH=$PWD/node_modules/.bin:$PATH
work=$(mktemp -d /var/tmp/dockline-test-package.XXXXXX)
trap 'rm -rf "$work"' EXIT

version=$(node scripts/project/build-version.ts) || exit 1
base=${version%%+*}
next=${base%.*}.$((${base##*.} + 1))
if [ "${1-}" = --systemd ]; then
  forms=(--form deb --form tarball)
  node scripts/package.ts "${forms[@]}" --fast --arch amd64 --out "$work/old" || exit 1
  node scripts/package.ts "${forms[@]}" --fast --arch amd64 --out "$work/new" --version "$next" || exit 1
  lane "package under systemd" test/lanes/uml-systemd --share "$work" --limit 900 \
    bash test/package/on-systemd.sh "$work/old/dockline_${version}_amd64.deb" "$work/new/dockline_${next}_amd64.deb" \
    "$work/old/dockline-$version-linux-amd64.tar.gz" "$work/new/dockline-$next-linux-amd64.tar.gz"
  tally
  exit
fi

install_packages readelf:binutils groff:groff-base qemu-aarch64-static:qemu-user-static \
  /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross rpmbuild:rpm secilc:secilc selabel_lookup:selinux-utils || exit 1
node scripts/package.ts --fast --out "$work/old" || exit 1
node scripts/package.ts --fast --out "$work/new" --arch amd64 --version "$next" || exit 1
mkdir "$work/tmp"
(umask 077 && TMPDIR=$work/tmp TZ=Asia/Tokyo LC_ALL=C.UTF-8 node scripts/package.ts --fast --out "$work/again" --arch amd64) || exit 1

in_root() { test/lanes/debian-root --share "$work" --share "$PWD/test/package" bash "$PWD/test/package/$1" "${@:2}"; }
lane "deb: contents" bash test/package/contents.sh "$work/old/dockline_${version}"_{amd64,arm64}.deb
lane "rpm: contents" bash test/package/contents-rpm.sh "$work/old" "$version"
lane "tarball: contents" bash test/package/contents-tarball.sh "$work/old" "$version" "$work/again"
lane "deb: in a clean root" in_root in-root.sh "$work/old/dockline_${version}_amd64.deb" "$work/new/dockline_${next}_amd64.deb" "$next"
lane "rpm: in a clean root" in_root in-root-rpm.sh "$work/old/dockline-$version-1.x86_64.rpm" "$work/new/dockline-$next-1.x86_64.rpm" \
  "$next" "$work/new/dockline-selinux-$next-1.noarch.rpm"
lane "tarball: in a clean root" in_root in-root-tarball.sh "$work/old/dockline-$version-linux-amd64.tar.gz" \
  "$work/new/dockline-$next-linux-amd64.tar.gz" "$next"
tally
