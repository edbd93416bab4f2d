#!/bin/bash
# Runs inside test/lanes/debian-root: dpkg puts a package in place of an older one, and that one in its place again, with a pod on it.
#   in-root.sh OLD.deb NEW.deb
# Its last line is "N passed, N failed".
set -uo pipefail
old=$1 new=$2
export DEBIAN_FRONTEND=noninteractive
package_tests=$(dirname "$0")/../package
# shellcheck source=test/package/check.bash
. "$package_tests/check.bash"
# shellcheck source=test/package/pod.bash
. "$package_tests/pod.bash"
# shellcheck source=test/package/unit.bash
. "$package_tests/unit.bash"

start_docker
make_image
mkdir -p /etc/cni/net.d
check "the old one installs" dpkg -i "$old"
echo "drainTimeout: 3s" >>/etc/dockline/config.yaml
cp /usr/share/doc/dockline/examples/10-dockline.conflist /etc/cni/net.d/
start_unit
check "it runs a pod" dockline play $example --detach
check "the pod answers" serves
running=$(containers)
check "three containers run" equal "$(wc -l <<<"$running")" 3

keep_asking
for package in "$new" "$old"; do
  version=$(dpkg-deb -f "$package" Version)
  check "$version: dpkg puts it in the other one's place, and keeps the changed configuration" dpkg --force-confold -i "$package"
  check "$version: has the files that its list says, and no others" equal "$(
    dpkg --verify dockline | grep -v ' c /etc/dockline/config.yaml$'
    comm -13 <(dpkg -L dockline | sort) <(find /usr/lib/dockline /usr/share/doc/dockline | sort)
  )" ""
  check "$version: the other one serves on until it is restarted" answers
  stop_unit
  check "$version: the other one ends in order" test $? = 0
  start_unit
  check "$version: serves" equal "$(grep -o '"version":"[^"]*"' /var/log/dockline-test.log | tail -1)" "\"version\":\"$version\""
  check "$version: no container was restarted: same ids, start times and pids" equal "$(containers)" "$running"
  check "$version: no warning of a state file" not grep -E 'sandbox record|cannot be used|cannot be read' /var/log/dockline-test.log
  check "$version: the changed configuration is still there" grep -q "^drainTimeout: 3s" /etc/dockline/config.yaml
done
stop_asking
check "the pod missed no request on the way" equal "$missed_requests" ""
check "the old one removes the pod" dockline play $example --down
check "nothing of the pod is left" equal "$(docker ps -aq)" ""
stop_unit
closing_line
