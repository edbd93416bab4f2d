# Sourced by uml and uml-systemd: one boot of a user-mode-linux kernel, from its options to its exit code.
# shellcheck shell=bash disable=SC2154
source "$(dirname "${BASH_SOURCE[0]}")/lane.bash"

# make_boot_folder: what the machine inside reads and writes. Not below /tmp or /run, which are its own in there.
make_boot_folder() {
  boot=$(mktemp -d /var/tmp/dockline-uml.XXXXXX)
  trap 'rm -rf "$boot"' EXIT
  : >"$boot/output"
}

# write_command COMMAND [ARG...]: the script that the machine runs in the current folder once Docker answers. DOCKLINE_… and CI of
# the environment go along.
write_command() {
  local name
  {
    # shellcheck disable=SC2016
    echo 'export HOME=/root LANG=C.UTF-8 DOCKLINE_TEST_DOCKER_SOCKET=unix:///run/docker.sock'
    for name in $(compgen -e | grep -E '^(DOCKLINE_|CI$)' || true); do
      [ "$name" = DOCKLINE_TEST_DOCKER_SOCKET ] || declare -p "$name"
    done
    printf 'export PATH=%q\n' "$PATH"
    printf 'cd %q || exit 125\n' "$PWD"
    printf '%q ' "$@"
    echo
  } >"$boot/command"
}

# end_group PID: the process group that a setsid has made, as far as it lives.
end_group() {
  kill -TERM -- "-$1" 2>/dev/null || return 0
  sleep 0.5
  kill -KILL -- "-$1" 2>/dev/null || true
}

# boot_kernel LIMIT_SECONDS KERNEL_ARG...: runs the machine, shows the command's output as it comes, exits with its code.
boot_kernel() {
  local limit=$1 kernel follower rc began=$EPOCHREALTIME
  shift
  # A new session: the kernel's many processes are ended by their group when the lane is interrupted.
  setsid timeout --kill-after=5 "$limit" linux.uml "$@" rw quiet con=null con0=null,fd:2 security=apparmor \
    >"$boot/kernel" 2>&1 </dev/null &
  kernel=$!
  trap 'end_group "$kernel"; rm -rf "$boot"' EXIT
  tail -n +1 --sleep-interval=0.2 --pid="$kernel" -f "$boot/output" &
  follower=$!
  wait "$kernel" || true
  wait "$follower" || true
  if [ -s "$boot/started" ]; then
    say "Docker answered after $(awk -v a="$began" -v b="$(stat -c %.3Y "$boot/started")" 'BEGIN { printf "%.1f", b - a }') s"
  fi
  if grep -qs 'ptrace set fp regs failed' "$boot/kernel"; then
    say "left out: this processor has registers (AMX) that user-mode Linux cannot keep for its processes"
    exit 77
  fi
  if [ ! -s "$boot/exit-code" ]; then
    tail -5 "$boot/kernel" >&2
    say "no exit code after $(seconds_since "$began") s: the machine did not boot, or the command took longer than $limit s"
    exit 124
  fi
  rc=$(cat "$boot/exit-code")
  say_total "done (exit code $rc)"
  exit "$rc"
}
