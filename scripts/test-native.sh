#!/bin/bash
# Rebuilds the native programs and compares them with the committed ones, byte by byte.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
passed=0 failed=0
for program in pause oci; do
  if "deploy/$program/build" --check; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
