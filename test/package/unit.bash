# Sourced by the tests of the package that have no systemd: Docker, and what the units would start. Functions only.
# shellcheck shell=bash

unit=/usr/lib/systemd/system/dockline.service
socket=/run/dockline/dockline.sock

# Its containers go when the test ends.
start_docker() {
  dockerd >/var/log/dockerd-test.log 2>&1 &
  trap 'docker ps -aq | xargs -r docker rm -f >/dev/null' EXIT
  local left
  for ((left = 100; left > 0; left--)); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
}

# wait_for_answers PID: its log, when it does not come.
wait_for_answers() {
  dockline_pid=$1
  local left
  for ((left = 100; left > 0; left--)); do
    [ -S $socket ] && answers >/dev/null && return
    sleep 0.2
  done
  tail -5 /var/log/dockline-test.log
}

# The unit's own command line with the capabilities that the unit leaves, and the socket that systemd would hold.
start_unit() {
  local line drop
  line=$(sed -n 's/^ExecStart=//p' $unit)
  drop=$(sed -n 's/^CapabilityBoundingSet=~//p' $unit | tr 'A-Z ' 'a-z,' | sed 's/cap_/-/g')
  install -d -m 711 /run/dockline
  rm -f $socket
  # shellcheck disable=SC2086 # a command line
  setpriv --no-new-privs --bounding-set="$drop" systemd-socket-activate -l $socket $line >>/var/log/dockline-test.log 2>&1 &
  wait_for_answers $!
}
stop_unit() {
  kill -TERM "$dockline_pid" && wait "$dockline_pid"
}

# Asks the pod all the time from now on; stop_asking sets missed_requests: an x for each time that it did not answer.
missed=/tmp/missed
keep_asking() {
  : >$missed
  while [ -e $missed ]; do serves >/dev/null || { [ ! -e $missed ] || echo x >>$missed; }; sleep 0.1; done &
  poller=$!
}
stop_asking() {
  missed_requests=$(cat $missed)
  rm $missed
  wait $poller
}
