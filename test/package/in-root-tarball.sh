#!/bin/bash
# Runs inside test/lanes/debian-root: the life of the tarball, with a pod on it: where there is no systemctl at all, then with the units.
#   in-root-tarball.sh OLD.tar.gz NEW.tar.gz NEW_VERSION
# Its last line is "N passed, N failed".
set -uo pipefail
here=$(dirname "$0")
old=$1 new=$2 new_version=$3
example=/opt/dockline/share/doc/examples/web.yaml
# shellcheck source=test/package/check.bash
. "$here/check.bash"
# shellcheck source=test/package/pod.bash
. "$here/pod.bash"
# shellcheck source=test/package/unit.bash
. "$here/unit.bash"
# shellcheck source=test/package/trace.bash
. "$here/trace.bash"

set_up_docker
# As somebody with a narrow umask does it.
for pair in old:"$old" new:"$new"; do
  mkdir "/tmp/${pair%%:*}"
  (umask 077 && tar -xzf "${pair#*:}" --no-same-permissions --strip-components=1 -C "/tmp/${pair%%:*}")
done
systemctl=$(command -v systemctl)
mv "$systemctl" /tmp/systemctl
before=$(file_system)

libraries=/usr/lib/x86_64-linux-gnu
mkdir /tmp/libraries
mv $libraries/libstdc++.so* /tmp/libraries
check "does not install where its Node cannot run, and says what is missing" grep "libstdc++" <(/tmp/old/install.sh 2>&1)
mv /tmp/libraries/* $libraries
check "has changed nothing then" equal "$before" "$(file_system)"
mkdir /usr/lib/dockline
check "does not install beside a package" not /tmp/old/install.sh
rmdir /usr/lib/dockline

# With nothing but a C library's own, a shell and its tools in busybox, and what the private Node is linked with.
mkdir /tmp/tools
for applet in $(busybox --list); do ln -s "$(command -v busybox)" "/tmp/tools/$applet"; done
alone() { env -i PATH=/tmp/tools sh "$@"; }
check "installs with busybox's tools, without systemd" alone /tmp/old/install.sh
check "everything is root's, and nobody else writes to it" equal "$(find /opt/dockline ! -type l \( ! -user 0 -o ! -group 0 -o -perm /022 -o ! -perm -044 \))" ""
check "there is no unit" not test -e /etc/systemd/system/dockline.service
check "the program runs on the Node that it brings" \
  grep -F "(node $(/opt/dockline/lib/node -p process.versions.node))" <(dockline version)
echo "drainTimeout: 3s" >>/etc/dockline/config.yaml
cp /opt/dockline/share/doc/examples/10-dockline.conflist /etc/cni/net.d/

# By the line that install.sh says.
start_line() {
  local line
  line=$(sed -n 's/^dockline: it is started by: //p' "$1")
  # shellcheck disable=SC2086 # a command line
  $line >>/var/log/dockline-test.log 2>&1 &
  wait_for_answers $!
}
alone /tmp/old/install.sh >/tmp/said
check "is installed twice as once" grep -q "it is started by: dockline serve" /tmp/said
start_line /tmp/said
check "serves" answers
check "runs a pod" dockline play $example --detach
check "the pod answers" serves
running=$(containers)
check "three containers run" equal "$(wc -l <<<"$running")" 3
check "registers a copy of dockline-oci that Docker can keep" dockline install-runtime
check "that is the tarball's" cmp /usr/local/lib/dockline/dockline-oci /opt/dockline/dockline-oci

keep_asking
check "upgrades with the pod running" grep "restart it" <(alone /tmp/new/install.sh)
check "the old one serves on until it is restarted" answers
check "is not removed while it runs" not /opt/dockline/uninstall.sh
stop_unit
start_line /tmp/said
check "the new version serves" grep -q "\"version\":\"$new_version\"" /var/log/dockline-test.log
check "no container was restarted: same ids, start times and pids" equal "$(containers)" "$running"
check "the changed configuration is still there" grep -q "^drainTimeout: 3s" /etc/dockline/config.yaml
stop_asking
check "the pod missed no request on the way" equal "$missed_requests" ""
docker create --name needs-it --runtime dockline --network none busybox:1.36 sleep 1000 >/dev/null
stop_unit
check "is not removed while a container needs dockline-oci" not alone /opt/dockline/uninstall.sh
docker rm -f needs-it >/dev/null
check "is removed" alone /opt/dockline/uninstall.sh
check "leaves daemon.json as it was" equal "$(cat /etc/docker/daemon.json)" "$daemon_json"
check "a removal stops no container" equal "$(containers)" "$running"
check "a removal keeps configuration and state" test -s /etc/dockline/config.yaml -a -d /var/lib/dockline/sandboxes

mv /tmp/systemctl "$systemctl"
unit=/etc/systemd/system/dockline.service
check "installs again, with units" /tmp/new/install.sh
check "the units are enabled" systemctl is-enabled dockline.service dockline.socket
check "the units are valid" systemd-analyze verify --man=no $unit
start_unit
check "takes the pod up again under the unit's command line" serves
check "removes the pod" dockline play $example --down
check "nothing of the pod is left" equal "$(docker ps -aq)" ""
stop_unit
check "is purged" /opt/dockline/uninstall.sh --purge
rm /etc/cni/net.d/10-dockline.conflist
check "no trace is left in the file system" equal "$(sed '/systemctl/d' <<<"$before")" "$(file_system | sed '/systemctl/d')"
check "no trace is left in /run" not test -e /run/dockline

closing_line
