#!/bin/bash
# Types, lint, format and unit tests (the import rule among them). Unit tests wait more than they compute: they
# run beside the lint, four files at a time.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
PATH=$PWD/node_modules/.bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
  local name=$1
  shift
  "$@" >"$work/$name" 2>&1
  echo $? >"$work/$name.rc"
}
run types tsc -p tsconfig.json --incremental --tsBuildInfoFile node_modules/.cache/tsc.tsbuildinfo
(run lint eslint --cache --cache-location node_modules/.cache/eslint/ .; run format prettier --cache --check . --log-level warn) &
run unit mocha --config .mocharc.unit.json --reporter dot
wait

failed=0
for name in types format lint unit; do
  rc=$(cat "$work/$name.rc")
  if [ "$rc" = 0 ]; then echo "ok   $name"; else echo "FAIL $name"; failed=1; fi
  if [ "$rc" != 0 ] || [ "$name" = unit ]; then tail -80 "$work/$name"; fi
done
exit $failed
