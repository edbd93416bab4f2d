#!/bin/bash
# Runs inside test/lanes/debian-root: the life of the package, from its installation to its purge, with a pod on it.
#   in-root.sh OLD.deb NEW.deb NEW_VERSION
# Its last line is "N passed, N failed".
set -uo pipefail
old=$1 new=$2 new_version=$3
export DEBIAN_FRONTEND=noninteractive
# shellcheck source=test/package/check.bash
. "$(dirname "$0")/check.bash"
# shellcheck source=test/package/pod.bash
. "$(dirname "$0")/pod.bash"
# shellcheck source=test/package/unit.bash
. "$(dirname "$0")/unit.bash"
# shellcheck source=test/package/trace.bash
. "$(dirname "$0")/trace.bash"

set_up_docker
before=$(file_system)

check "installs" dpkg -i "$old"
check "leaves nothing unconfigured" equal "$(dpkg --audit)" ""
check "has the files that its list says" equal "$(dpkg --verify dockline)" ""
check "the units are enabled" systemctl is-enabled dockline.service dockline.socket
check "the units are valid" systemd-analyze verify --man=no $unit
check "the program runs on the Node that it brings" \
  grep -F "(node $(/usr/lib/dockline/lib/node -p process.versions.node))" <(dockline version)
echo "drainTimeout: 3s" >>/etc/dockline/config.yaml
check "the configuration in force comes from the conffile" \
  grep 'drainTimeout: 3s *# /etc/dockline/config.yaml' <(dockline config)
cp /usr/share/doc/dockline/examples/10-dockline.conflist /etc/cni/net.d/

start_unit
check "serves under the unit's command line" answers
check "runs a pod" dockline play $example --detach
check "the pod answers" serves
running=$(containers)
check "three containers run" equal "$(wc -l <<<"$running")" 3

keep_asking
check "upgrades with the pod running, and asks nothing about the changed configuration" dpkg -i "$new"
check "the old one serves on until it is restarted" answers
stop_unit
check "ends in order" test $? = 0
start_unit
check "the new version serves" grep -q "\"version\":\"$new_version\"" /var/log/dockline-test.log
check "no container was restarted: same ids, start times and pids" equal "$(containers)" "$running"
check "the changed configuration is still there" grep -q "^drainTimeout: 3s" /etc/dockline/config.yaml
stop_asking
check "the pod missed no request on the way" equal "$missed_requests" ""

stays_while_needed dpkg -r dockline
check "is removed" dpkg -r dockline
stop_unit
check "leaves daemon.json as it was" equal "$(cat /etc/docker/daemon.json)" "$daemon_json"
check "a removal stops no container" equal "$(containers)" "$running"
check "a removal keeps configuration and state" test -s /etc/dockline/config.yaml -a -d /var/lib/dockline/sandboxes

check "installs again" dpkg -i "$new"
start_unit
check "takes the pod up again" serves
check "removes the pod" dockline play $example --down
check "nothing of the pod is left" equal "$(docker ps -aq)" ""
stop_unit
check "is purged" dpkg --purge dockline
rm /etc/cni/net.d/10-dockline.conflist
check "no trace is left in the file system" equal "$before" "$(file_system)"
check "no trace is left in /run" not test -e /run/dockline
check "dpkg knows nothing of it" not dpkg -s dockline

closing_line
