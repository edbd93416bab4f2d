#!/bin/bash
# What is in the RPMs, without installing them: by rpm's own account, and compared with the Debian packages' files.
#   contents-rpm.sh FOLDER VERSION
set -uo pipefail
here=$(dirname "$0")
# shellcheck source=test/package/check.bash
. "$here/check.bash"
folder=$1 version=$2
epoch=$(git -C "$here" log -1 --format=%ct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
query() { rpm -qp --qf "$2" "$1"; }
selinux=$folder/dockline-selinux-$version-1.noarch.rpm

for pair in amd64:x86_64 arm64:aarch64; do
  name=${pair#*:}
  rpm=$folder/dockline-$version-1.$name.rpm
  mkdir "$work/$name" "$work/deb"
  rpm2archive -n "$rpm" >/dev/null 2>&1 || rpm2archive "$rpm" >/dev/null || exit 1
  tar -xf "$rpm".t* -C "$work/$name" && rm "$rpm".t*
  dpkg-deb -x "$folder/dockline_${version}_${pair%:*}.deb" "$work/deb"
  check "$name: its name, version, machine and licence" grep -qxE "dockline ${version//+/[+]} 1 $name Apache-2.0 AND MIT AND .*" <(
    query "$rpm" '%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE}\n'
  )
  check "$name: neither the machine nor the hour is in it" equal "$(query "$rpm" '%{BUILDHOST} %{BUILDTIME}')" "dockline $epoch"
  # The one file that lies elsewhere.
  mkdir -p "$work/deb/usr/share/zsh/site-functions"
  mv "$work/deb/usr/share/zsh"/{vendor-completions,site-functions}/_dockline && rmdir "$work/deb/usr/share/zsh/vendor-completions"
  check "$name: has the program, the units and the pages of the Debian package" diff -r --exclude=copyright --exclude='*LICENSE.gz' \
    --exclude='third-party-licences.gz' --exclude=licenses --no-dereference "$work/$name/usr" "$work/deb/usr"
  check "$name: everything is root's, folders 0755, files 0644 or 0755" test -z "$(
    query "$rpm" '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' |
      grep -vE '^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root:root /'
  )"
  check "$name: has its folders, so that they go with it" equal "$(
    query "$rpm" '[%{FILEMODES:perms} %{FILENAMES}\n]' | sed -n 's/^d[^ ]* //p' | grep -vE '/(bin|dist|lib|examples|pictures)$' | sort
  )" "$(printf '%s\n' /etc/dockline /usr/lib/dockline /usr/share/doc/dockline /usr/share/licenses/dockline)"
  check "$name: the configuration is one, and is kept" equal "$(
    query "$rpm" '[%{FILEFLAGS:fflags} %{FILENAMES}\n]' | grep '^[^ ]*c'
  )" "cn /etc/dockline/config.yaml"
  check "$name: the licences are marked as such" equal "$(rpm -qpL "$rpm" | grep -c '/\(LICENSE\|node-LICENSE\|third-party-licences\)$')" 3
  needs=$(rpm -qpR "$rpm")
  check "$name: needs no newer glibc than the oldest release has" equal "$(
    grep -o 'GLIBC_2\.[0-9]*' <<<"$needs" | sort -uV | tail -1
  )" GLIBC_2.28
  # By sonames: the packages have other names on openSUSE.
  for need in 'libc.so.6(GLIBC_2.28)(64bit)' 'libstdc++.so.6(GLIBCXX_3.4.21)(64bit)' 'libgcc_s.so.1()(64bit)'; do
    check "$name: needs $need" grep -qxF "$need" <<<"$needs"
  done
  check "$name: needs the SELinux labels where there is SELinux" grep -qxF "(dockline-selinux if selinux-policy-targeted)" <<<"$needs"
  for script in POSTIN PREUN POSTUN; do
    check "$name: $script is a script" bash -c "rpm -qp --qf '%{$script}\n' '$rpm' | sh -n"
  done
  rm -rf "$work/deb"
done
check "both machines have the same files" diff <(cd "$work/x86_64" && find . | sort) <(cd "$work/aarch64" && find . | sort)

check "the labels are for every machine" equal "$(query "$selinux" '%{ARCH}\n[%{FILENAMES}\n]')" "$(
  printf '%s\n' noarch /usr/share/licenses/dockline-selinux /usr/share/licenses/dockline-selinux/LICENSE /usr/share/selinux/packages/targeted/dockline.cil
)"
check "the labels need their types" grep -qx container-selinux <(rpm -qpR "$selinux")
for script in POSTIN POSTTRANS POSTUN; do
  check "labels: $script is a script" bash -c "rpm -qp --qf '%{$script}\n' '$selinux' | sh -n"
done
check "the labels compile" secilc -o "$work/policy" -f "$work/contexts" "$here/selinux-base.cil" "$here/../../deploy/selinux/dockline.cil"
while read -r kind path type; do
  check "$path is $type" grep -qx "Default context: *system_u:object_r:$type:s0" <(selabel_lookup -b file -f "$work/contexts" -k "$path" -t "$kind")
done <<'LABELS'
file /usr/lib/dockline/bin/dockline container_runtime_exec_t
file /usr/lib/dockline/dockline-oci container_runtime_exec_t
file /usr/lib/dockline/lib/node bin_t
file /usr/lib/dockline/dockline-dial bin_t
file /opt/dockline/bin/dockline container_runtime_exec_t
file /usr/local/lib/dockline/dockline-oci container_runtime_exec_t
dir /etc/dockline container_config_t
sock_file /run/dockline/dockline.sock container_var_run_t
file /var/lib/dockline/sandboxes/x container_var_lib_t
file /var/lib/dockline/image-volumes/x/bin/sh container_ro_file_t
LABELS
closing_line
