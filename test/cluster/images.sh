# Sourced by test/lanes/cluster: the images of a cluster and of the Kubernetes end-to-end suite, made of the machine's own packages
# and of programs built from Go modules. They are written as a registry's storage, which the node serves to itself.
# shellcheck shell=bash

image_packages=(bash-static bind9-dnsutils busybox-static ca-certificates conntrack curl iperf ipset iproute2 iptables kmod
  netcat-openbsd nftables nginx-light procps socat util-linux)

# cluster_images: prints the storage's folder, which is made once for each set of programs.
cluster_images() {
  local bare=() package key folder kubernetes=$lanes_dir/kubernetes
  for package in "${image_packages[@]}"; do bare+=(--package "$package"); done
  debian=$("$lanes_dir/debian-root" --bare "${bare[@]}" build)
  mapfile -t built < <("$kubernetes" build "${image_programs[@]}")
  [ ${#built[@]} = ${#image_programs[@]} ] || die "could not build the programs"
  source_folder=$("$kubernetes" source)
  key=$({ cat "${BASH_SOURCE[0]}" && echo "$debian ${built[*]}"; } | sha256sum | cut -c1-16)
  folder=$lanes_cache/cluster-images-$key
  exec {lock}>"$lanes_cache/cluster-images.lock"
  flock "$lock"
  if [ ! -d "$folder" ]; then
    local began=$EPOCHREALTIME
    say "making the images (once for these programs)"
    rm -rf "$folder.part"
    storage=$folder.part/docker/registry/v2
    scratch=$(mktemp -d "$lanes_cache/layers.XXXXXX")
    make_images
    rm -rf "$scratch"
    mv "$folder.part" "$folder"
    say "made the images in $(seconds_since "$began") s ($(du -sh "$folder" | cut -f1))"
  fi
  exec {lock}>&-
  echo "$folder"
}
image_programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd coredns agnhost kubeadm)

program() {
  local i
  for i in "${!image_programs[@]}"; do [ "${image_programs[i]}" != "$1" ] || echo "${built[i]}"; done
}

# keep_blob FILE: moves it into the storage; prints its digest.
keep_blob() {
  local sum
  sum=$(sha256sum "$1" | cut -d' ' -f1)
  mkdir -p "$storage/blobs/sha256/${sum:0:2}/$sum"
  mv "$1" "$storage/blobs/sha256/${sum:0:2}/$sum/data"
  echo "sha256:$sum"
}

# layer FOLDER: prints "DIFF_ID DIGEST SIZE" of its content.
layer() {
  local diff size digest
  tar -C "$1" --sort=name --numeric-owner -c . >"$scratch/layer.tar"
  diff=$(sha256sum "$scratch/layer.tar" | cut -d' ' -f1)
  gzip -1n "$scratch/layer.tar"
  size=$(stat -c %s "$scratch/layer.tar.gz")
  digest=$(keep_blob "$scratch/layer.tar.gz")
  echo "sha256:$diff $digest $size"
}

# image NAME CONFIG LAYER...: CONFIG is the members of the image's "config" object, LAYER what layer printed.
image() {
  local name=${1#registry.k8s.io/} config=$2 one diffs='' layers='' size digest links=()
  shift 2
  for one in "$@"; do
    read -r diff digest size <<<"$one"
    diffs+=${diffs:+,}\"$diff\"
    layers+=${layers:+,}$(descriptor layer.v1.tar+gzip "$digest" "$size")
    links+=("$digest")
  done
  printf '{"architecture":"%s","os":"linux","created":"2026-01-01T00:00:00Z","config":{%s},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
    "$(dpkg --print-architecture)" "$config" "$diffs" >"$scratch/config"
  size=$(stat -c %s "$scratch/config")
  digest=$(keep_blob "$scratch/config")
  links+=("$digest")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(descriptor config.v1+json "$digest" "$size")" "$layers" >"$scratch/manifest"
  digest=$(keep_blob "$scratch/manifest")
  local repository=$storage/repositories/${name%:*} tag=${name##*:}
  for one in "${links[@]}"; do link "$repository/_layers/sha256/${one#sha256:}" "$one"; done
  link "$repository/_manifests/revisions/sha256/${digest#sha256:}" "$digest"
  link "$repository/_manifests/tags/$tag/current" "$digest"
  link "$repository/_manifests/tags/$tag/index/sha256/${digest#sha256:}" "$digest"
}
descriptor() { printf '{"mediaType":"application/vnd.oci.image.%s","digest":"%s","size":%s}' "$1" "$2" "$3"; }
link() { mkdir -p "$1" && printf %s "$2" >"$1/link"; }

# fresh: an empty folder for the next layer, in $top.
fresh() {
  top=$scratch/top
  rm -rf "$top"
  mkdir "$top"
}

# program_layer PROGRAM PATH: one program in an otherwise empty image.
program_layer() {
  fresh
  mkdir -p "$top/tmp" "$top/$(dirname "$2")"
  chmod 1777 "$top/tmp"
  cp "$(program "$1")" "$top/$2"
  layer "$top"
}

# The tag under which the suite asks for one of its images; the newest one when there are several.
suite_image() { echo "e2e-test-images/$1:$(sed -n "s/.*PromoterE2eRegistry, \"$1\", \"\([^\"]*\)\".*/\1/p" "$source_folder/test/utils/image/manifest.go" | sort -V | tail -1)"; }

make_images() {
  local path='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]' base name one
  fresh
  cp -a "$debian/." "$top"
  rm -rf "$top"/usr/share/{doc,man,locale,info} "$top"/var/cache/apt "$top"/var/lib/apt "$top"/var/log/*
  base=$(layer "$top")
  "$(program kubeadm)" config images list --kubernetes-version "$("$lanes_dir/kubernetes" version)" >"$scratch/names"
  while read -r name; do
    one=$(basename "${name%:*}")
    case $one in
      pause) pause_image "$name" ;;
      kube-proxy) image "$name" "$path" "$base" "$(program_layer kube-proxy usr/local/bin/kube-proxy)" ;;
      coredns) image "$name" '"Entrypoint":["/coredns"],"WorkingDir":"/","User":"65532:65532"' "$(program_layer coredns coredns)" ;;
      *) image "$name" "\"Entrypoint\":[\"/usr/local/bin/$one\"],\"Env\":[\"PATH=/usr/local/bin\"]" "$(program_layer "$one" "usr/local/bin/$one")" ;;
    esac
  done <"$scratch/names"
  agnhost_images "$path" "$base"
  busybox_images
  fresh
  nginx_files
  one=$(layer "$top")
  image "$(suite_image nginx)" "$path,\"Cmd\":[\"nginx\"],\"Labels\":{\"edition\":\"new\"}" "$base" "$one"
  image "e2e-test-images/nginx:1.27.0-2" "$path,\"Cmd\":[\"nginx\"]" "$base" "$one"
  for name in ipc-utils glibc-dns-testing; do image "$(suite_image $name)" "$path,\"Cmd\":[\"sh\"]" "$base"; done
  fresh
  printf '#!/usr/bin/perl\nprint "hi\\n";\n' >"$top/hi.pl"
  image "$(suite_image perl)" "$path,\"Cmd\":[\"perl\"]" "$base" "$(layer "$top")"
}

agnhost_images() {
  local path=$1 base=$2 agnhost pet applet
  fresh
  mkdir -p "$top/uploads" "$top/etc"
  cp "$(program agnhost)" "$top/agnhost"
  ln -s agnhost "$top/agnhost-2"
  cp "$source_folder"/test/images/agnhost/porter/localhost.* "$top"
  # The image that the suite expects is Alpine's: what Debian's packages lack, busybox has (netstat, wget).
  mkdir -p "$top/usr/local/bin"
  for applet in $("$debian/bin/busybox" --list); do
    chroot "$debian" sh -c "command -v $applet" >/dev/null 2>&1 || ln -s /bin/busybox "$top/usr/local/bin/$applet"
  done
  { cat "$debian/etc/passwd" && echo 'user-defined-in-image:x:1000:1000::/home:/bin/sh'; } >"$top/etc/passwd"
  { cat "$debian/etc/group" && printf 'user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n'; } >"$top/etc/group"
  agnhost=$(layer "$top")
  for pet in "$(suite_image agnhost)" e2e-test-images/agnhost:2.55; do
    image "$pet" "$path,\"Entrypoint\":[\"/agnhost\"],\"Cmd\":[\"pause\"],\"ExposedPorts\":{\"80/tcp\":{},\"8080/tcp\":{},\"8081/tcp\":{},\"9376/tcp\":{},\"5000/tcp\":{}}" "$base" "$agnhost"
  done
  for pet in nautilus kitten; do
    fresh
    cp "$source_folder/test/images/$pet/html/"* "$top"
    # An image volume is recognised by it.
    mkdir -p "$top/etc"
    echo 'NAME="Alpine Linux"' >"$top/etc/os-release"
    image "$(suite_image $pet)" "$path,\"Entrypoint\":[\"/agnhost\"],\"Cmd\":[\"test-webserver\"],\"WorkingDir\":\"/\"" "$base" "$agnhost" "$(layer "$top")"
  done
}

busybox_images() {
  local applet one
  fresh
  mkdir -p "$top"/{bin,etc,root,home,proc,sys,dev,tmp,usr/bin,usr/sbin,sbin,var/www,var/log,var/run}
  chmod 1777 "$top/tmp"
  cp "$debian/bin/busybox" "$top/bin/busybox"
  # Hard links: a mount over one applet must not hide the others.
  for applet in $("$top/bin/busybox" --list); do [ "$applet" = busybox ] || ln -f "$top/bin/busybox" "$top/bin/$applet"; done
  # Specs read what busybox's shell says, and want variables whose names are no identifiers, which it drops: then it is bash.
  rm "$top/bin/sh"
  cp "$debian/bin/bash-static" "$top/bin/bash"
  compiled bin/sh '#include <ctype.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **words) {
  (void)count;
  for (char **one = environ; *one; one++)
    for (char *at = *one; *at && *at != 0x3d; at++)
      if (!isalnum(*at) && *at != 0x5f) { execv("/bin/bash", words); return 127; }
  execv("/bin/busybox", words);
  return 127;
}'
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$top/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$top/etc/group"
  one=$(layer "$top")
  image "$(suite_image busybox)" '"Env":["PATH=/bin"],"Cmd":["sh"]' "$one"
  image e2e-test-images/busybox:1.36.1-1 '"Env":["PATH=/bin"],"Cmd":["sh"]' "$one"
  image "$(suite_image nonroot)" '"Env":["PATH=/bin"],"User":"1234","Cmd":["sh","-c","id -u"]' "$one"
  fresh
  compiled nnp '#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\n", geteuid()); return 0; }'
  chmod u+s "$top/nnp"
  image "$(suite_image nonewprivs)" '"Env":["PATH=/bin"],"Entrypoint":["/nnp"]' "$one" "$(layer "$top")"
}

pause_image() {
  fresh
  compiled pause '#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap); for (;;) pause(); }'
  image "$1" '"Entrypoint":["/pause"],"User":"65535:65535"' "$(layer "$top")"
}

# compiled NAME SOURCE: a static program in $top.
compiled() {
  printf '%s\n' "$2" >"$scratch/program.c"
  gcc -Os -static -o "$top/$1" "$scratch/program.c"
}

nginx_files() {
  mkdir -p "$top/etc/nginx" "$top/usr/share/nginx/html"
  echo '<html><title>Welcome to nginx!</title><body><h1>Welcome to nginx!</h1></body></html>' >"$top/usr/share/nginx/html/index.html"
  cat >"$top/etc/nginx/nginx.conf" <<N
worker_processes 1;
daemon off;
error_log /dev/stderr;
events { worker_connections 256; }
http { access_log /dev/stdout; server { listen 80; location / { root /usr/share/nginx/html; index index.html; } } }
N
}
