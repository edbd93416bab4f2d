#!/bin/bash
# A node as kubeadm makes it: systemd as init, Docker as its service with the systemd cgroup driver on cgroup v2, AppArmor, ext4;
# in user-mode-linux. There the suite's tagged tests run, and a node with a real kubelet is switched from cri-dockerd to Dockline, back,
# and over again by "dockline migrate". Six to nine minutes. Arguments go to mocha.
#
# With --current first the engine is 29.x with its runc, and only the tagged tests run: what most nodes have.
#
# With DOCKLINE_TEST_CRI_DOCKERD=FILE that cri-dockerd is the one that is switched from, else a Dockline that plays it.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
install_npm_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH
[ -n "${DOCKLINE_BUILT:-}" ] || node scripts/build.ts >/dev/null || exit 1
export DOCKLINE_BUNDLE=1
in_machine=(mocha --no-config --exit --timeout 120000 --slow 60000 --node-option disable-warning=ExperimentalWarning
  --require test/support/compatibility.ts --grep @systemd test/cgroup2/node.test.ts test/integration/stats.test.ts)
if [ "${1-}" = --current ]; then
  shift
  exec test/lanes/uml-systemd --current --limit 1500 "${in_machine[@]}" "$@"
fi
DOCKLINE_TEST_KUBELET_PROGRAM=$(test/lanes/kubelet build) || exit 1
package=$(mktemp -d /var/tmp/dockline-test-systemd.XXXXXX)
trap 'rm -rf "$package"' EXIT
node scripts/package.ts --form deb --fast --arch amd64 --out "$package" >/dev/null || exit 1
DOCKLINE_TEST_PACKAGE=$(echo "$package"/*.deb)
export DOCKLINE_TEST_KUBELET_PROGRAM DOCKLINE_TEST_PACKAGE
shares=(--share "$package" --share "$(dirname "$DOCKLINE_TEST_KUBELET_PROGRAM")")
[ -z "${DOCKLINE_TEST_CRI_DOCKERD:-}" ] || shares+=(--share "$(dirname "$DOCKLINE_TEST_CRI_DOCKERD")")
test/lanes/uml-systemd --limit 1500 "${shares[@]}" "${in_machine[@]}" test/systemd/switch.test.ts "$@"
