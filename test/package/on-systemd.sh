#!/bin/bash
# Runs inside test/lanes/uml-systemd: the packages under the init that they are made for. The units start as they are, hardening included.
#   on-systemd.sh OLD.deb NEW.deb OLD.tar.gz NEW.tar.gz
# Its last line is "N passed, N failed".
set -uo pipefail
here=$(dirname "$0")
# shellcheck source=test/package/check.bash
. "$here/check.bash"
# shellcheck source=test/package/pod.bash
. "$here/pod.bash"
old=$1 new=$2 old_tarball=$3 new_tarball=$4
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units=(dockline.socket dockline.service)
pid() { systemctl show -P MainPID dockline.service; }
status_of() { sed -n "s/^$1:\t//p" "/proc/$(pid)/status"; }
# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 1
  done
}

make_image
systemd-run -q --unit=cri-docker.service sleep infinity
check "beside a cri-dockerd that runs it installs" dpkg -i "$old"
check "and does not start" not systemctl is-active "${units[@]}"
check "nor will at the next boot" not systemctl is-enabled "${units[@]}"
systemctl stop cri-docker.service
check "purges from there" dpkg --purge dockline

check "installs and starts" dpkg -i "$old"
check "both units are active" systemctl is-active "${units[@]}"
check "both will be at the next boot" systemctl is-enabled "${units[@]}"
check "answers" answers
check "systemd was told of it, not left to wait" equal "$(systemctl show -P StatusErrno -P Result dockline.service)" "$(printf '0\nsuccess')"
check "the journal has its log" grep -q '"serving the CRI"' <(journalctl --no-pager -u dockline -o cat)
check "it cannot gain privileges" equal "$(status_of NoNewPrivs)" 1
check "it cannot set the clock (CAP_SYS_TIME is bit 25)" equal $((0x$(status_of CapBnd) >> 25 & 1)) 0
check "it has the capabilities for networks and mounts" equal $((0x$(status_of CapBnd) >> 12 & 1))$((0x$(status_of CapBnd) >> 21 & 1)) 11
check "its mounts are the host's" equal "$(readlink "/proc/$(pid)/ns/mnt")" "$(readlink /proc/1/ns/mnt)"
check "it reads the kernel's log" test -n "$(find "/proc/$(pid)/fd" -lname /dev/kmsg)"
check "the socket is root's, 0660" equal "$(stat -c '%U:%G %a' /run/dockline/dockline.sock)" "root:root 660"
check "its state is root's alone" equal "$(stat -c '%U %a' /var/lib/dockline)" "root 700"

mkdir -p /etc/cni/net.d
cp /usr/share/doc/dockline/examples/10-dockline.conflist /etc/cni/net.d/
check "runs a pod" dockline play $example --detach
check "the pod answers" serves
running=$(containers)
check "three containers run" equal "$(wc -l <<<"$running")" 3
first=$(pid)
check "restarts" systemctl restart dockline.service
check "as another process" not test "$(pid)" = "$first"
check "no container was restarted" equal "$(containers)" "$running"
kill -9 "$(pid)"
check "comes back after kill -9" until_true 60 answers
check "no container was restarted by that" equal "$(containers)" "$running"
first=$(pid)
check "upgrades" dpkg -i "$new"
check "the new one runs, without being asked" not test "$(pid)" = "$first"
check "and answers" answers
check "no container was restarted by the upgrade" equal "$(containers)" "$running"
check "the pod answers still" serves
check "is removed" dpkg -r dockline
check "both units are gone" not systemctl is-active "${units[@]}"
check "so is the socket" not test -e /run/dockline/dockline.sock
check "the pod answers all the same" serves
check "installs again, and starts" dpkg -i "$new"
check "removes the pod" dockline play $example --down
check "nothing of the pod is left" equal "$(docker ps -aq)" ""
check "is purged" dpkg --purge dockline
left_over() {
  find / -xdev -name '*dockline*' ! -path '/var/lib/docker/*' ! -path '/var/tmp/*' ! -path '/var/lib/dpkg/*-old' \
    ! -path "$(realpath "$here/../..")*" ! -path '/etc/cni/net.d/*' ! -path '/var/lib/cni/*'
}
check "no unit, folder or link is left" equal "$(left_over)" ""

mkdir /var/tmp/old /var/tmp/new
tar -xzf "$old_tarball" --strip-components=1 -C /var/tmp/old
tar -xzf "$new_tarball" --strip-components=1 -C /var/tmp/new
systemd-run -q --unit=cri-docker.service sleep infinity
check "tarball: beside a cri-dockerd that runs it installs" /var/tmp/old/install.sh
check "tarball: and does not start" not systemctl is-active "${units[@]}"
systemctl stop cri-docker.service
check "tarball: is removed from there" /opt/dockline/uninstall.sh --purge
check "tarball: installs and starts" /var/tmp/old/install.sh
check "tarball: both units will be at the next boot" systemctl is-enabled "${units[@]}"
check "tarball: answers" answers
first=$(pid)
check "tarball: upgrades" /var/tmp/new/install.sh
check "tarball: the new one runs, without being asked" not test "$(pid)" = "$first"
check "tarball: and answers" answers
check "tarball: is removed" /opt/dockline/uninstall.sh
check "tarball: both units are gone" not systemctl is-active "${units[@]}"
check "tarball: installs again" /var/tmp/new/install.sh
check "tarball: is purged" /opt/dockline/uninstall.sh --purge
check "tarball: no unit, folder or link is left" equal "$(left_over)" ""
closing_line
