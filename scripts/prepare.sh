# Sourced by the scripts beside it: installs what a fresh machine lacks. Functions only.

# npm's packages, when they are not there or not those of the lockfile.
install_npm_packages() {
  local stamp=node_modules/.cache/dockline-lock
  if [ -x node_modules/.bin/node ] && cmp -s package-lock.json "$stamp"; then return; fi
  echo "installing the npm packages"
  npm ci --no-audit --no-fund --loglevel=error >/dev/null || return
  # Debian's npm 9 links no programs of optional packages, and Node itself comes in one.
  local node
  for node in node_modules/node-linux-*/bin/node; do
    if [ ! -e node_modules/.bin/node ] && "$node" --version >/dev/null 2>&1; then
      ln -s "../${node#node_modules/}" node_modules/.bin/node
    fi
  done
  node_modules/.bin/node --version >/dev/null || return
  mkdir -p node_modules/.cache
  cp package-lock.json "$stamp"
}

# install_packages WHAT:PACKAGE...: each package whose program (or file, when WHAT is a path) is missing.
install_packages() {
  local pair what missing=()
  for pair in "$@"; do
    what=${pair%%:*}
    case $what in
      /*) [ -e "$what" ] || [ -e "/opt/cni/bin/${what##*/}" ] || missing+=("${pair##*:}") ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null || missing+=("${pair##*:}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "install these first, there is no apt-get here: ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}"
  # The lanes' lock (test/lanes/lane.bash): apt-get refuses to wait for another one.
  local log lock locks=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dockline-lanes
  mkdir -p "$locks"
  exec {lock}>"$locks/apt.lock"
  flock "$lock"
  log=$(mktemp)
  # A package may want to start its service; where no init is running that is no failure of ours.
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    exec {lock}>&-
    return 1
  fi
  rm -f "$log"
  exec {lock}>&-
}

# What the integration suite needs beyond npm's packages.
install_test_packages() {
  install_packages dockerd:docker.io /usr/lib/cni/bridge:containernetworking-plugins \
    busybox:busybox-static iptables:iptables ip:iproute2 ps:procps nsenter:util-linux \
    docker-registry:docker-registry openssl:openssl mkfs.ext4:e2fsprogs
  # Debian starts its registry with the package where an init runs; the tests start their own.
}

# Starts dockerd on its usual socket when none answers there.
start_engine() {
  engine_pid=
  mount --make-rshared / 2>/dev/null || true
  if engine_answers; then return; fi
  echo "starting dockerd"
  mkdir -p /var/log
  PATH=$PATH:/usr/sbin:/sbin setsid dockerd --add-runtime "dockline=$PWD/test/lanes/oci-of-node" >/var/log/dockline-test-dockerd.log 2>&1 </dev/null &
  engine_pid=$!
  local left
  for ((left = 300; left > 0; left--)); do
    if engine_answers; then return; fi
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.2
  done
  echo "dockerd did not start:" >&2
  tail -5 /var/log/dockline-test-dockerd.log >&2
  return 1
}

engine_answers() {
  node -e '
    const request = require("node:http").get({ socketPath: "/var/run/docker.sock", path: "/_ping", timeout: 3000 },
      (response) => process.exit(response.statusCode === 200 ? 0 : 1));
    request.on("error", () => process.exit(1));' 2>/dev/null
}

# Ends the dockerd that start_engine started, and the bridge it made.
stop_engine() {
  [ -n "${engine_pid:-}" ] || return 0
  kill "$engine_pid" 2>/dev/null
  wait "$engine_pid" 2>/dev/null
  ip link delete docker0 2>/dev/null || true
  engine_pid=
}

# The engine that DOCKLINE_TEST_DOCKER_SOCKET names, else the machine's own, ended with the script if it was started for it.
use_engine() {
  [ -z "${DOCKLINE_TEST_DOCKER_SOCKET:-}" ] || return 0
  start_engine || return
  trap stop_engine EXIT
}
