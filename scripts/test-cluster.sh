#!/bin/bash
# A Kubernetes 1.37 cluster on Dockline (see test/lanes/cluster): kubeadm, kube-proxy, CoreDNS, a Service, and specs of Kubernetes' own
# end-to-end suite.
#
#   test-cluster.sh                    the cluster's own tests, and a few specs that a runtime can break
#   test-cluster.sh --focus RE         these specs alone; --skip RE leaves some out, --processes N (2) run at once
#   test-cluster.sh --no-suite         the cluster's own tests alone
#   test-cluster.sh build              builds what is needed (20 minutes from nothing), and ends
#   test-cluster.sh start|exec|stop …  a cluster that stays: test/lanes/cluster --help
#
# --engine, --store, --runtime, --endpoint and --with are those of test/lanes/cluster. --keep FOLDER keeps the logs of all programs
# and the suite's report there. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "test-cluster: run it as root (it makes namespaces)" >&2; exit 1; }
# shellcheck source=scripts/prepare.sh
. scripts/prepare.sh
# shellcheck source=scripts/tally.sh
. scripts/tally.sh
install_npm_packages || exit 1
PATH=$PWD/node_modules/.bin:$PATH

# Quick ones: exec over WebSocket, attach and port-forward, log, probes, hooks, volumes, DNS, users.
default_focus='should support remote command execution over websockets|should support retrieving logs from the container over websockets|should be able to retrieve and filter logs|should support forwarding over websockets|should support inline execution and attach|should run with the expected status|pod should support shared volumes between containers|should provide DNS for the cluster|should execute prestop exec hook properly|should be consumable from pods in volume with mappings as non-root|should provide container.s memory limit.*Downward API volume|should run the container with uid 65534'
options=() focus='' skip='' processes=2 keep='' runtime=dockline no_suite=''
while [ $# -gt 0 ]; do
  case $1 in
    --focus) focus=${focus:+$focus|}$2 && shift 2 ;;
    --skip) skip=$2 && shift 2 ;;
    --processes) processes=$2 && shift 2 ;;
    --keep) keep=$(realpath -m "$2") && shift 2 ;;
    --runtime) runtime=$2 options+=("$1" "$2") && shift 2 ;;
    --endpoint) runtime='' options+=("$1" "$2") && shift 2 ;;
    --engine | --store | --with) options+=("$1" "$2") && shift 2 ;;
    --no-suite) no_suite=1 options+=("$1") && shift ;;
    build | start | exec | stop) exec test/lanes/cluster "${options[@]}" "$@" ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \?//p' "$0" && exit ;;
    *) echo "test-cluster: unknown argument $1 (--help)" >&2 && exit 1 ;;
  esac
done

# Not "name": a lane has one of its own.
cluster=test-$$
[ -n "${DOCKLINE_BUILT:-}" ] || node scripts/build.ts >/dev/null || exit 1
export DOCKLINE_BUNDLE=1
trap 'test/lanes/cluster stop $cluster' EXIT
test/lanes/cluster "${options[@]}" start $cluster || { echo "0 passed, 1 failed"; exit 1; }
node=$(readlink -f node_modules/.bin/node)
inside() { test/lanes/cluster exec $cluster "$@"; }
suite() { inside "$node" "$PWD/test/cluster/suite.ts" --processes "$processes" --focus "$1" ${skip:+--skip "$skip"}; }
own_tests() {
  inside env ${runtime:+DOCKLINE_CLUSTER_RUNTIME=$runtime} sh -c \
    "cd '$PWD' && exec '$node' --disable-warning=ExperimentalWarning node_modules/mocha/bin/mocha.js --no-config --exit test/cluster/*.test.ts"
}

if [ -n "$focus" ]; then
  lane "end-to-end suite" suite "$focus"
else
  lane "cluster" own_tests
  [ -n "$no_suite" ] || lane "end-to-end suite" suite "$default_focus"
fi
if [ -n "$keep" ]; then
  mkdir -p "$keep"
  cp -r "/var/tmp/dockline-cluster-$cluster"/{*.log,log,suite.json} "/var/tmp/dockline-cluster-$cluster/disk/var/log" "$keep" 2>/dev/null
fi
test/lanes/cluster stop $cluster
trap - EXIT
tally
