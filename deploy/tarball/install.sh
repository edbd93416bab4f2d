#!/bin/sh
# Installs Dockline from the folder that this script lies in, or puts it in the place of another version. Run it as root.
#   install.sh [--no-systemd]
# The program goes to /opt/dockline, a link to it to /usr/local/bin, the configuration to /etc/dockline unless it is there. Where
# systemd's systemctl is, the units go to /etc/systemd/system; where systemd runs, they are started. An upgrade restarts the service
# and no container. /opt/dockline/uninstall.sh takes all of it away.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
to=/opt/dockline
units=/etc/systemd/system

say() { echo "dockline: $*"; }
fail() {
	echo "install.sh: $*" >&2
	exit 1
}

systemd=yes
command -v systemctl >/dev/null || systemd=no
for argument; do
	case $argument in
	--no-systemd) systemd=no ;;
	-h | --help)
		sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
		exit
		;;
	*)
		echo "install.sh: $argument is not known; see install.sh --help" >&2
		exit 2
		;;
	esac
done
[ "$(id -u)" = 0 ] || fail "run it as root"
[ "$here" != "$to" ] || fail "unpack the tarball elsewhere: $to is where it is installed to"
[ ! -e /usr/lib/dockline ] || fail "a package has installed Dockline here; upgrade that one, or remove it first"
# Before anything is changed. What may be missing is named in the message of the loader.
if ! problem=$("$here/lib/node" --version 2>&1 >/dev/null); then
	fail "nothing is changed: the program does not run on this machine, which needs glibc 2.28 and libstdc++ of GCC 7, or newer: $problem"
fi

# As a whole, and by two renames: what runs has its files open.
rm -rf "$to.new" "$to.old"
mkdir -p "$to.new"
for part in bin dist lib share dockline-oci dockline-dial before-removal uninstall.sh; do
	cp -R "$here/$part" "$to.new/$part"
done
# The modes of who unpacked it are not the program's.
chown -R 0:0 "$to.new"
chmod -R u+rwX,go+rX,go-w "$to.new"
version=$("$to.new/bin/dockline" --version)
upgrade=no
if [ -e "$to" ]; then
	upgrade=yes
	mv "$to" "$to.old"
fi
mv "$to.new" "$to"
rm -rf "$to.old"
# The copy that Docker starts, if "dockline install-runtime" has made it: containers need a whole one at any time.
copy=/usr/local/lib/dockline/dockline-oci
if [ -e "$copy" ]; then
	cp "$to/dockline-oci" "$copy.new"
	mv "$copy.new" "$copy"
fi

command=$to/bin/dockline
if mkdir -p /usr/local/bin 2>/dev/null && ln -sf "$command" /usr/local/bin/dockline 2>/dev/null; then
	command=dockline
fi
mkdir -p /etc/dockline
[ -e /etc/dockline/config.yaml ] || cp "$here/etc/config.yaml" /etc/dockline/config.yaml

say "$version is in $to"
if [ $systemd = no ]; then
	[ $upgrade = no ] || say "restart it, by what starts it on this machine; no pod is disturbed"
	say "it is started by: $command serve --config=/etc/dockline/config.yaml"
	exit
fi

first=no
[ -e $units/dockline.service ] || first=yes
mkdir -p $units
cp "$here/systemd/dockline.service" "$here/systemd/dockline.socket" $units/
chmod 644 $units/dockline.service $units/dockline.socket
running=no
if [ -d /run/systemd/system ]; then
	running=yes
	systemctl daemon-reload
fi
if [ $first = no ]; then
	[ $running = no ] || systemctl try-restart dockline.service
elif [ $running = yes ] && systemctl -q is-active cri-docker.service; then
	# "dockline migrate" brings the pods over, and starts Dockline.
	say "cri-dockerd serves this node, so Dockline is installed but not started"
	say "see: $command migrate --from cri-dockerd"
else
	systemctl -q enable dockline.socket dockline.service
	if [ $running = yes ]; then
		systemctl start dockline.socket dockline.service
		say "it serves; look at it with: systemctl status dockline.service"
	fi
fi
