#!/bin/bash
# What is in the Debian packages, without installing them.
#   contents.sh AMD64.deb ARM64.deb
set -uo pipefail
# shellcheck source=test/package/check.bash
. "$(dirname "$0")/check.bash"
amd=$1 arm=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for deb in "$amd" "$arm"; do
  name=$(dpkg-deb -f "$deb" Architecture)
  dpkg-deb -R "$deb" "$work/$name" || exit 1
done

for name in amd64 arm64; do
  machine=$([ $name = amd64 ] && echo X86-64 || echo AArch64)
  tree=$work/$name
  check "$name: says so in its control file" grep -qx "Architecture: $name" "$tree/DEBIAN/control"
  for program in lib/node dockline-oci dockline-dial; do
    check "$name: $program is for $machine" grep -q "Machine:.*$machine" <(readelf -h "$tree/usr/lib/dockline/$program")
  done
  check "$name: needs no newer glibc than it declares" test -z "$(readelf -V "$tree/usr/lib/dockline/lib/node" |
    grep -o 'GLIBC_2\.[0-9]*' | sort -uV | sed 's/GLIBC_2.//' | awk '$1 > 28')"
  check "$name: everything is root's, folders 0755, files 0644 or 0755" test -z "$(
    dpkg-deb -c "$([ $name = amd64 ] && echo "$amd" || echo "$arm")" | grep -vE '^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root/root '
  )"
  check "$name: the checksums fit" bash -c "cd '$tree' && md5sum --quiet -c DEBIAN/md5sums"
  check "$name: the configuration is a conffile" grep -qx /etc/dockline/config.yaml "$tree/DEBIAN/conffiles"
  for script in postinst prerm postrm; do check "$name: $script is a script" sh -n "$tree/DEBIAN/$script"; done
done
check "the dashboard, the alerts and the proxy are among the examples" test 3 = "$(
  ls "$work"/amd64/usr/share/doc/dockline/examples/{dockline-dashboard.json,dockline.rules.yaml,authenticating-proxy.yaml} | wc -l
)"
check "both have the same files" diff <(cd "$work/amd64" && find . | sort) <(cd "$work/arm64" && find . | sort)
for file in dockline.mjs dockline-worker.cjs; do
  check "both have the same $file" cmp "$work"/{amd64,arm64}/usr/lib/dockline/dist/$file
done
pages=("$work"/amd64/usr/share/man/man*/*.gz)
check "there is a manual page for each command, the program and its file" test ${#pages[@]} = 11
for page in "${pages[@]}"; do
  check "$(basename "$page" .gz) is a proper page" equal "$(zcat "$page" | groff -man -ww -Tutf8 -z 2>&1)" ""
done
emulated() { qemu-aarch64-static -L /usr/aarch64-linux-gnu "$@"; }
check "arm64: the program runs under emulation" grep -q "^dockline .*(node " <(emulated "$work/arm64/usr/lib/dockline/lib/node" \
  "$work/arm64/usr/lib/dockline/bin/dockline" version)
check "arm64: dockline-oci runs under emulation" emulated "$work/arm64/usr/lib/dockline/dockline-oci" --dockline-version
check "arm64: dockline-dial runs under emulation" grep -q "descriptor 3 is no channel" <(
  emulated "$work/arm64/usr/lib/dockline/dockline-dial" 2>&1 3>&-
)
closing_line
