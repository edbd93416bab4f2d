# Sourced by test scripts: runs lanes, adds up what their runners say, prints the sum. Functions only.

tally_passed=0
tally_failed=0
# What failed, told once more at the very end: a long log is often kept from its end only.
tally_report=$(mktemp)
# Colours that a runner finds fitting for CI would hide its closing lines.
export FORCE_COLOR=0 NO_COLOR=1

# lane NAME COMMAND...: runs it, shows its output, counts its tests and prints how long it took.
# A runner's own closing lines are read: mocha's, or "N passed, N failed". A command that fails
# without a failed test counts as one.
lane() {
  local name=$1 output began status passed failed last
  shift
  output=$(mktemp)
  began=$SECONDS
  echo "== $name"
  "$@" 2>&1 | sed -u 's/\x1b\[[0-9;]*m//g' | tee "$output"
  status=${PIPESTATUS[0]}
  # A script of ours has summed up its lanes in its last line; counting theirs again would double.
  if last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$output" | tail -1) && [ -n "$last" ]; then
    passed=${last%% *}
    failed=${last##*, }
    failed=${failed%% *}
  else
    passed=$(sed -n 's/^ *\([0-9]*\) passing.*/\1/p' "$output" | add_up)
    failed=$(sed -n 's/^ *\([0-9]*\) failing$/\1/p' "$output" | add_up)
  fi
  if [ "$status" -ne 0 ] || [ "$failed" -gt 0 ]; then
    echo "-- $name (exit code $status):"
    { sed -n '/^ *[0-9]* failing$/,$p; /^ *--- FAIL/p; /^-- /,$p' "$output" | head -80; } ||
      true
    [ "$failed" -gt 0 ] || tail -15 "$output"
  fi >>"$tally_report"
  rm -f "$output"
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  tally_passed=$((tally_passed + passed))
  tally_failed=$((tally_failed + failed))
  echo "== $name: $passed passed, $failed failed in $((SECONDS - began)) s"
}

# The sum of the numbers on stdin, a line each.
add_up() {
  local number sum=0
  while read -r number; do sum=$((sum + number)); done
  echo "$sum"
}

# The closing line, and the exit code that belongs to it.
tally() {
  cat "$tally_report"
  rm -f "$tally_report"
  echo "$tally_passed passed, $tally_failed failed"
  [ "$tally_failed" -eq 0 ] && [ "$tally_passed" -gt 0 ]
}
