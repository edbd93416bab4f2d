# Sourced by the tests of the package: the example's pod, its image, and what is known of its containers. Functions only.
# shellcheck shell=bash

# Where a form of the package has other paths, it says so before.
: "${example:=/usr/share/doc/dockline/examples/web.yaml}"

# The image that the example names, from the machine's own busybox: there may be no registry.
make_image() {
  local folder applet
  folder=$(mktemp -d)
  mkdir -p "$folder"/bin "$folder"/etc "$folder"/page
  cp "$(command -v busybox)" "$folder/bin/busybox"
  for applet in $(busybox --list); do [ "$applet" = busybox ] || ln "$folder/bin/busybox" "$folder/bin/$applet"; done
  tar -C "$folder" -c . | docker import -c 'ENV PATH=/bin' - busybox:1.36 >/dev/null
  rm -rf "$folder"
}

# Without a client program: the root is a small one.
serves() {
  timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/18080 && printf "GET / HTTP/1.0\r\n\r\n" >&3 && grep "Hello from a pod" <&3' 2>&1
}
answers() { dockline version | grep ': docker'; }

# Ids, start times, pids: the same text means that nothing was restarted.
containers() {
  docker ps -q --no-trunc | xargs -r docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}' | sort
}

# Docker with the example's image, and with settings of the operator's in $daemon_json.
set_up_docker() {
  start_docker
  make_image
  mkdir -p /etc/cni/net.d /etc/docker
  daemon_json=$'{\n\t"shutdown-timeout" : 7\n}'
  echo "$daemon_json" >/etc/docker/daemon.json
}

# stays_while_needed REMOVAL [ARG...]: Docker could not even stop a container whose runtime is gone.
stays_while_needed() {
  check "registers dockline-oci" dockline install-runtime
  docker create --name needs-it --runtime dockline --network none busybox:1.36 sleep 1000 >/dev/null
  check "is not removed while a container needs dockline-oci" not "$@"
  check "and serves on" answers
  docker rm -f needs-it >/dev/null
}
