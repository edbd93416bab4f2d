#!/bin/bash
# Pods in cri-dockerd's form are taken over under a real kubelet, and Dockline's are handed back. Uses the engine that
# DOCKLINE_TEST_DOCKER_SOCKET names, else this machine's own. Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
exec bash scripts/test-kubelet.sh test/takeover/*.test.ts
