#!/bin/bash
# What of the integration suite is about cgroup v2, AppArmor and capabilities that other lanes lack.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
PATH=$PWD/node_modules/.bin:$PATH
exec mocha --config .mocharc.integration.json --timeout 300000 --grep '@cgroup2'
