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
  local name=$1 began=$SECONDS
  shift
  run_lane "$name" "$@"
  count_lane "$name" "$began"
}

# The same for what needs much of the machine beside it (a kubelet, a machine in a machine): it is
# run once more as a whole when it fails, and what failed in both runs has failed.
lane_twice() {
  local name=$1 began=$SECONDS
  shift
  run_lane "$name" "$@"
  if [ "$lane_failed" -gt 0 ]; then
    echo "== $name: $lane_passed passed, $lane_failed failed; once more"
    local first=$lane_titles run=$((lane_passed + lane_failed))
    run_lane "$name" "$@"
    # A first run that broke off has not seen every test pass.
    if [ "$lane_failed" -gt 0 ] && [ "$run" -ge $((lane_passed + lane_failed)) ]; then
      forgive_others "$first"
    fi
  fi
  count_lane "$name" "$began"
}

# forgive_others TITLES: of the last run only these count as failed, when each failure has a title.
forgive_others() {
  local both passed
  [ -n "$1" ] && [ -n "$lane_titles" ] || return 0
  [ "$(wc -l <<<"$lane_titles")" = "$lane_failed" ] || return 0
  both=$(LC_ALL=C comm -12 <(echo "$1") <(echo "$lane_titles"))
  passed=$(LC_ALL=C comm -13 <(echo "$1") <(echo "$lane_titles"))
  if [ -n "$passed" ]; then printf 'failed in the second run alone:\n%s\n' "$passed"; fi
  lane_passed=$((lane_passed + lane_failed))
  lane_failed=0
  if [ -n "$both" ]; then lane_failed=$(wc -l <<<"$both"); else lane_report=; fi
  lane_passed=$((lane_passed - lane_failed))
}

# failed_titles FILE: a line for each failed test of mocha's or Go's, sorted.
failed_titles() {
  awk '
    /^ *[0-9]+ failing$/ { listed = 1 }
    listed && /^ +[0-9]+\) / { title = ""; sub(/^ +[0-9]+\) /, ""); open = 1 }
    open { sub(/^ +/, ""); title = title " " $0; if (/:$/) { print title; open = 0 } }
    /^ *--- FAIL: / { print $3 }
  ' "$1" | LC_ALL=C sort -u
}

# apart COMMAND...: lanes with a sum of their own, which is the last line. For a process of its own.
apart() {
  tally_passed=0 tally_failed=0 tally_report=$(mktemp)
  "$@"
  tally
}

# lane_for_each FILE...: mocha on each test file, in a process of its own.
lane_for_each() {
  local file
  for file in "$@"; do
    lane_twice "$(basename "$file" .test.ts)" mocha --no-config --exit --timeout 60000 --slow 30000 \
      --node-option disable-warning=ExperimentalWarning "$file"
  done
}

# Sets lane_passed, lane_failed, lane_titles and lane_report.
run_lane() {
  local name=$1 output status last
  shift
  output=$(mktemp)
  echo "== $name"
  "$@" 2>&1 | sed -u 's/\x1b\[[0-9;]*m//g' | tee "$output"
  status=${PIPESTATUS[0]}
  # A script of ours has summed up its lanes in its last line; counting theirs again would double.
  if last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$output" | tail -1) && [ -n "$last" ]; then
    lane_passed=${last%% *}
    lane_failed=${last##*, }
    lane_failed=${lane_failed%% *}
  else
    lane_passed=$(sed -n 's/^ *\([0-9]*\) passing.*/\1/p' "$output" | add_up)
    lane_failed=$(sed -n 's/^ *\([0-9]*\) failing$/\1/p' "$output" | add_up)
  fi
  lane_titles=$(failed_titles "$output")
  lane_report=
  # A lane that the machine itself cannot run, and that has said why.
  if [ "$status" = 77 ] && [ $((lane_passed + lane_failed)) = 0 ]; then status=0; fi
  if [ "$status" -ne 0 ] || [ "$lane_failed" -gt 0 ]; then
    lane_report="-- $name (exit code $status):
$(sed -n '/^ *[0-9]* failing$/,$p; /^ *--- FAIL/p; /^-- /,$p' "$output" | head -80)
$([ "$lane_failed" -gt 0 ] || tail -15 "$output")"
  fi
  rm -f "$output"
  if [ "$status" -ne 0 ] && [ "$lane_failed" -eq 0 ]; then lane_failed=1; fi
}

# count_lane NAME BEGAN: adds the last run to the sum.
count_lane() {
  tally_passed=$((tally_passed + lane_passed))
  tally_failed=$((tally_failed + lane_failed))
  if [ -n "$lane_report" ]; then echo "$lane_report" >>"$tally_report"; fi
  echo "== $1: $lane_passed passed, $lane_failed failed in $((SECONDS - $2)) s"
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
