#!/bin/sh
# Removes what install.sh has installed. Containers run on: they are Docker's. Run it as root.
#   uninstall.sh [--purge]
# It keeps the configuration in /etc/dockline and the state in /var/lib/dockline; with --purge nothing of Dockline's stays.
set -eu
to=/opt/dockline
units=/etc/systemd/system

fail() {
	echo "uninstall.sh: $*" >&2
	exit 1
}

purge=no
for argument; do
	case $argument in
	--purge) purge=yes ;;
	-h | --help)
		sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
		exit
		;;
	*)
		echo "uninstall.sh: $argument is not known; see uninstall.sh --help" >&2
		exit 2
		;;
	esac
done
[ "$(id -u)" = 0 ] || fail "run it as root"

service=no
if [ -d /run/systemd/system ] && [ -e $units/dockline.service ]; then service=yes; fi
# What another init, or a person, has started is not ours to end.
if [ $service = no ]; then
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe" 2>/dev/null) in
		# The second one was started before an upgrade.
		$to/lib/node* | $to.old/lib/node*) fail "stop Dockline first: process ${process#/proc/} runs" ;;
		esac
	done
fi
# What is mounted into the state folder is not the state.
if [ $purge = yes ] && grep -q ' /var/lib/dockline/' /proc/mounts; then fail "something is mounted below /var/lib/dockline"; fi
if [ -e $to ]; then $to/before-removal; fi

if [ $service = yes ]; then systemctl stop dockline.service dockline.socket; fi
if [ -e $units/dockline.service ]; then
	systemctl -q disable dockline.socket dockline.service || :
	rm -f $units/dockline.service $units/dockline.socket
	if [ $service = yes ]; then systemctl daemon-reload; fi
fi
if [ "$(readlink /usr/local/bin/dockline)" = $to/bin/dockline ]; then rm -f /usr/local/bin/dockline; fi
# Emptied by before-removal, where there was something.
rmdir /usr/local/lib/dockline 2>/dev/null || :
rm -rf $to $to.new $to.old
if [ $purge = yes ]; then
	# Network namespaces of pods that are gone, or whose pause containers hold them on.
	for pin in /run/netns/dockline-*-*-*-*-*; do
		[ -e "$pin" ] || continue
		while umount -l "$pin" 2>/dev/null; do :; done
		rm -f "$pin" || :
	done
	rm -rf /var/lib/dockline /run/dockline /run/dockline-netns /etc/dockline
	# Volumes of pods that "dockline play" left running are still theirs.
	for folder in /var/lib/dockline-play /var/log/dockline-play; do
		if [ -d $folder ]; then find $folder -depth -type d -empty -exec rmdir {} \;; fi
	done
fi
