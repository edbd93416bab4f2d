# Sourced by the tests of the package. Functions only.
# shellcheck shell=bash

passed=0 failed=0

# check NAME COMMAND...: its output is shown when it fails.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok   $name"
    passed=$((passed + 1))
  else
    printf 'FAIL %s\n%s\n' "$name" "$output"
    failed=$((failed + 1))
  fi
}
equal() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }
not() { ! "$@"; }

# The closing line, and the exit code that belongs to it.
closing_line() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
