# Sourced by the tests of the package: what it could leave behind. Functions only.
# shellcheck shell=bash

# Everything that a package could leave, with its content. The lists of dpkg and of rpm are rewritten at each call; Docker's and the
# CNI plugins' folders are theirs; /run and /tmp are other mounts, looked at apart.
file_system() {
  find / -xdev \( -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/lib/cni -o -path /var/lib/rpm -o -path /var/log \) -prune -o \
    ! -path '/var/lib/dpkg/status*' ! -path '/var/lib/dpkg/lock*' ! -path '/var/lib/dpkg/triggers/*' \
    -printf '%y %m %U:%G %p -> %l\n' | sort
  find /etc /usr/lib/systemd /usr/share/man /var/lib/systemd /usr/bin /usr/local -xdev -type f -exec sha256sum {} + | sort -k2
}
