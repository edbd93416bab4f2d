# Sourced by the scripts beside it: the cache, tool builds, times, and ending processes by their id.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

lanes_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lanes_cache=${XDG_CACHE_HOME:-$HOME/.cache}/dockline-lanes
lane_name=$(basename "$0")
lane_began=$EPOCHREALTIME

# Messages go to stderr: stdout belongs to the command that runs in the lane.
say() { printf '%s: %s\n' "$lane_name" "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# The comment that a script begins with is its usage.
print_usage() { sed -n '2,/^[^#]/{/^# shellcheck/d;s/^# \?//p}' "$0"; }

# seconds_since EPOCHREALTIME → "12.3"
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }
say_total() { say "$1 after $(seconds_since "$lane_began") s"; }

need_root() { [ "$(id -u)" = 0 ] || die "must run as root"; }

# need_packages PACKAGE...: installs what is missing from the distribution.
need_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} = 0 ] && return
  need_root
  # Lanes that build side by side install one after the other: apt-get refuses to wait.
  mkdir -p "$lanes_cache"
  local apt_lock
  exec {apt_lock}>"$lanes_cache/apt.lock"
  flock "$apt_lock"
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} = 0 ] || install_missing "${missing[@]}"
  exec {apt_lock}>&-
}

missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

install_missing() {
  local missing=("$@")
  say "installing ${missing[*]}"
  local log=$lanes_cache/apt.log install=(apt-get install -y --no-install-recommends "${missing[@]}")
  # A package must not start a daemon of its own on the machine that runs the tests.
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    made_policy=1
  fi
  local rc=0
  export DEBIAN_FRONTEND=noninteractive
  "${install[@]}" >"$log" 2>&1 </dev/null || { apt-get update >"$log" 2>&1 && "${install[@]}" >>"$log" 2>&1 </dev/null; } || rc=$?
  [ -z "$made_policy" ] || rm -f $policy
  [ $rc = 0 ] || {
    tail -3 "$log" >&2
    die "could not install ${missing[*]}"
  }
}

# The Debian archive that this machine itself installs from.
debian_mirror() {
  find /etc/apt -name '*.list' -exec sed -n 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\) .*/\2/p' {} + -o -name '*.sources' -exec sed -n 's/^URIs:  *\([^ ]*\).*/\1/p' {} + |
    grep -E '/debian/?$' | head -1
}

need_go() {
  command -v go >/dev/null || die "Go 1.26 or newer is needed, and there is no go on PATH"
  local version
  version=$(GOTOOLCHAIN=local go env GOVERSION)
  [ "$(printf '%s\n' go1.26 "$version" | sort -V | head -1)" = go1.26 ] || die "Go 1.26 or newer is needed, this is $version"
}

# go_tool NAME MODULE_FOLDER PACKAGE [GO_BUILD_ARG...]: prints the path of the built program. The build is kept under a hash of
# everything that decides it, so that a second run (or a restored CI cache) only looks. Sources of our own are listed in $go_sources.
go_tool() { go_program build "$@"; }

# The same for a package's tests as a program of their own.
go_test_tool() { go_program test "$@" -c -vet=off; }

# go_program VERB NAME MODULE_FOLDER PACKAGE [GO_ARG...]
go_program() {
  local verb=$1 name=$2 folder=$3 package=$4
  shift 4
  need_go
  local key
  key=$({ cat "$folder/go.mod" "$folder/go.sum" && GOTOOLCHAIN=local go env GOVERSION GOARCH && echo "$package ${CGO_ENABLED-} $*${go_sources:+ $go_sources}"; } | sha256sum | cut -c1-16)
  local out=$lanes_cache/$name-$key/$name
  mkdir -p "$(dirname "$out")"
  exec {lock}>"$lanes_cache/$name.lock"
  flock "$lock"
  if [ ! -x "$out" ]; then
    local began=$EPOCHREALTIME
    say "building $name from $package (once; minutes)"
    nice -n 10 go "$verb" -C "$folder" -mod=readonly -trimpath -o "$out.part" "$@" "$package" >&2 || die "could not build $name"
    mv "$out.part" "$out"
    say "built $name in $(seconds_since "$began") s"
  fi
  exec {lock}>&-
  echo "$out"
}

# end_process PID [SECONDS]: TERM, and KILL when it takes longer. Also for processes that are not children of this shell.
end_process() {
  local pid=$1 rounds=$((${2:-10} * 10)) i
  kill "$pid" 2>/dev/null || return 0
  for ((i = 0; i < rounds; i++)); do
    # A zombie whose parent has not read its exit code is over as well.
    case $(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) in '' | Z | X) return 0 ;; esac
    sleep 0.1
  done
  say "process $pid did not end in ${2:-10} s and is killed"
  kill -9 "$pid" 2>/dev/null || true
}

# unmount_below FOLDER: everything that is still mounted there, deepest first.
unmount_below() {
  awk -v d="$1" 'index($2, d "/") == 1 || $2 == d { print $2 }' /proc/mounts | sort -r | while read -r mount_point; do
    umount -l "$mount_point" 2>/dev/null || true
  done
}

# run_command COMMAND [ARG...]: runs it so that a signal to the lane ends it at once, and the lane's own EXIT trap follows. (A
# shell waits for its foreground command before it looks at a signal.)
run_command() {
  local rc=0
  "$@" <&0 &
  lane_command=$!
  wait "$lane_command" || rc=$?
  lane_command=
  return $rc
}
lane_command=
for signal in HUP INT TERM; do
  # shellcheck disable=SC2064
  trap "[ -z \"\$lane_command\" ] || end_process \"\$lane_command\"; exit $((128 + $(kill -l $signal)))" $signal
done
unset signal
