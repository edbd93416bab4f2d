#!/bin/bash
# Runs inside test/lanes/debian-root: the life of the RPM, with a pod on it. The root is Debian's, so rpm's own list of packages begins
# empty and dependencies are not looked at; scripts, configuration, units and what is left are.
#   in-root-rpm.sh OLD.rpm NEW.rpm NEW_VERSION SELINUX.rpm
# Its last line is "N passed, N failed".
set -uo pipefail
old=$1 new=$2 new_version=$3 selinux=$4
here=$(dirname "$0")
# shellcheck source=test/package/check.bash
. "$here/check.bash"
# shellcheck source=test/package/pod.bash
. "$here/pod.bash"
# shellcheck source=test/package/unit.bash
. "$here/unit.bash"
# shellcheck source=test/package/trace.bash
. "$here/trace.bash"
units=(dockline.service dockline.socket)
# Debian's rpm asks not to be used for packages.
rpms() { rpm --force-debian --dbpath /var/lib/rpm "$@"; }

set_up_docker
mkdir -p /etc/systemd/system-preset
# As Fedora and its family have it.
echo 'disable *' >/etc/systemd/system-preset/99-default-disable.preset
# What stands for SELinux's programs says how it was called.
called=/tmp/called
for program in semodule selinuxenabled load_policy restorecon; do
  printf '#!/bin/sh\necho %s "$@" >>%s\n' $program $called >/usr/sbin/$program
  chmod 755 /usr/sbin/$program
done
# As the base packages of the family have them.
mkdir -p /usr/share/licenses /usr/share/selinux/packages/targeted /usr/share/zsh/site-functions
rpm --dbpath /var/lib/rpm --initdb
before=$(file_system)

check "installs" rpms -i --nodeps "$old" "$selinux"
check "has the files that its list says" equal "$(rpms -V --nodeps dockline dockline-selinux)" ""
check "whether it starts at boot is left to the preset" equal "$(systemctl is-enabled "${units[@]}" 2>&1)" "$(printf 'disabled\ndisabled')"
check "the units are valid" systemd-analyze verify --man=no $unit
check "the labels are loaded, and put on after all files are there" equal "$(cat $called)" \
  "semodule -n -s targeted -X 200 -i /usr/share/selinux/packages/targeted/dockline.cil
selinuxenabled
load_policy
selinuxenabled
restorecon -R /usr/lib/dockline
restorecon -R /etc/dockline"
echo "drainTimeout: 3s" >>/etc/dockline/config.yaml
cp /usr/share/doc/dockline/examples/10-dockline.conflist /etc/cni/net.d/

start_unit
check "serves under the unit's command line" answers
check "runs a pod" dockline play $example --detach
check "the pod answers" serves
running=$(containers)
check "three containers run" equal "$(wc -l <<<"$running")" 3
systemctl -q enable "${units[@]}"

keep_asking
check "upgrades with the pod running" rpms -U --nodeps "$new"
check "the old one serves on until it is restarted" answers
stop_unit
start_unit
check "the new version serves" grep -q "\"version\":\"$new_version\"" /var/log/dockline-test.log
check "no container was restarted: same ids, start times and pids" equal "$(containers)" "$running"
check "the changed configuration is still there, and the only one" equal "$(
  grep -h "^drainTimeout" /etc/dockline/config.yaml && ls /etc/dockline
)" "$(printf 'drainTimeout: 3s\nconfig.yaml')"
check "what was enabled stays so" systemctl is-enabled "${units[@]}"
stop_asking
check "the pod missed no request on the way" equal "$missed_requests" ""

stays_while_needed rpms -e dockline
check "is removed" rpms -e dockline
stop_unit
check "leaves daemon.json as it was" equal "$(cat /etc/docker/daemon.json)" "$daemon_json"
check "a removal stops no container" equal "$(containers)" "$running"
check "a removal keeps state and changed configuration" test -s /etc/dockline/config.yaml.rpmsave -a -d /var/lib/dockline/sandboxes
check "a removal leaves no unit enabled" equal "$(find /etc/systemd/system -name 'dockline.*')" ""

check "installs again" rpms -i --nodeps "$new"
start_unit
check "takes the pod up again" serves
check "removes the pod" dockline play $example --down
check "nothing of the pod is left" equal "$(docker ps -aq)" ""
stop_unit
: >$called
check "is removed with its labels" rpms -e dockline dockline-selinux
check "the labels are taken out" equal "$(head -1 $called)" "semodule -n -s targeted -X 200 -r dockline"
# The line of docs/install.md.
rm -rf /etc/dockline /var/lib/dockline
rm /etc/cni/net.d/10-dockline.conflist
check "no trace is left in the file system" equal "$before" "$(file_system)"
check "no trace is left in /run" not test -e /run/dockline
check "rpm knows nothing of it" equal "$(rpms -qa)" ""

closing_line
