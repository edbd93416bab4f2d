#!/bin/bash
# What is in the tarballs, compared with the Debian packages' files, and what belongs to all forms: bill of materials, checksums, the
# same bytes twice.
#   contents-tarball.sh FOLDER VERSION FOLDER_BUILT_AGAIN
set -uo pipefail
# shellcheck source=test/package/check.bash
. "$(dirname "$0")/check.bash"
folder=$1 version=$2 again=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in amd64 arm64; do
  tarball=$folder/dockline-$version-linux-$name.tar.gz
  top=$work/dockline-$version-linux-$name
  tar -xzf "$tarball" -C "$work" || exit 1
  dpkg-deb -x "$folder/dockline_${version}_$name.deb" "$work/deb" || exit 1
  check "$name: has one folder" equal "$(ls "$work" | grep -v '^deb$')" "$(basename "$top")"
  check "$name: everything is root's, folders 0755, files 0644 or 0755" test -z "$(
    tar -tvzf "$tarball" | grep -vE '^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) root/root '
  )"
  check "$name: has the program of the Debian package" equal "$(diff -rq "$work/deb/usr/lib/dockline" "$top")" "$(
    for own in etc install.sh share systemd uninstall.sh; do echo "Only in $top: $own"; done
  )"
  check "$name: and its bill of materials" cmp "$top/share/doc/dockline.cdx.json" "$folder/dockline-$version.cdx.json"
  check "$name: has the licences" test -s "$top/share/licenses/LICENSE" -a -s "$top/share/licenses/node-LICENSE" -a \
    -s "$top/share/licenses/third-party-licences"
  check "$name: its units start the program where it lies" equal "$(grep -ch /opt/dockline/bin/dockline "$top"/systemd/*.service)" 1
  for script in install.sh uninstall.sh before-removal; do check "$name: $script is a script" sh -n "$top/$script"; done
  rm -rf "$work"/*
done

check "the checksums are of all files, and right" equal "$(cd "$folder" && sha256sum --quiet -c SHA256SUMS 2>&1; cut -c67- SHA256SUMS | sort)" \
  "$(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort)"
# Built under another umask, time zone, language and temporary folder.
for file in "$again"/*; do
  [ "${file##*/}" = SHA256SUMS ] || check "the same source gives the same bytes: ${file##*/}" cmp "$file" "$folder/${file##*/}"
done
closing_line
