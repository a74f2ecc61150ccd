# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Functions to get packages of a Debian release, which may differ from that of this
# machine.  apt fetches them and checks their signatures, with its own lists.  So
# nothing is installed, and the machine's apt sources do not change.  The results are
# in a cache outside the checkout.  Sourced after lib.sh, never run.  The caller sets
# SUITES, the suites of its packages.  This sets cache, and a trap on EXIT.

# VFMIG_CACHE names another directory
cache=${VFMIG_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vfmig}

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Directories in the cache that the trap removes: that of apt, and that of a package that
# is being unpacked
apt=
unpacking=
trap 'rm -rf ${apt:+"$apt"} ${unpacking:+"$unpacking"}' EXIT

# Standard output is for the caller's answer
note()
{
	say "$@" >&2
}

open_cache()
{
	mkdir -p "$cache" || die "can't write to the cache $cache"
	cache=$(cd "$cache" && pwd -P) || exit 2
}

# Waits for another run of the calling script that works in the cache
lock_cache()
{
	exec 8>"$cache/lock-${0##*/}"
	flock -n 8 || { note "waiting for another one that works in $cache"; flock 8; }
}

# check_disk MIB [DIR]: is there so much for what comes into the cache, or into DIR?
check_disk()
{
	local free dir=${2:-$cache} hint=

	free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	[[ $dir/ != "$cache"/* ]] || hint=" (VFMIG_CACHE names another place)"
	[ "$free" -ge "$1" ] || die "$dir has $free MiB free, $1 are needed$hint"
}

# unpack_to DIR FUNCTION: FUNCTION fills the directory that it is given, which is DIR
# when it is complete
unpack_to()
{
	unpacking=$(mktemp -d "$cache/${0##*/}-unpack.XXXXXX") || die "can't write to $cache"
	"$2" "$unpacking" && chmod 755 "$unpacking" && mv "$unpacking" "$1" ||
		die "can't unpack ${1##*/}"
	unpacking=
}

# private_apt TOOL [ARGUMENT]...: one of apt's tools, knowing only the suites of
# start_apt.  $apt is a temporary directory.
private_apt()
{
	local tool=$1

	shift
	LC_ALL=C "$tool" -q \
		-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" \
		-o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)" \
		-o APT::Architecture=amd64 -o APT::Architectures::=amd64 \
		-o APT::Get::AllowUnauthenticated=false -o Acquire::AllowInsecureRepositories=false \
		-o Acquire::Languages=none -o APT::Update::Error-Mode=any "$@" 2>>"$apt/log"
}

# The mirror that the machine gets Debian from, if it is one
debian_mirror()
{
	local mirror

	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 !~ /security/ && $NF ~ /^https?:/ { print $NF; exit }')
	echo "${mirror:-http://deb.debian.org/debian}"
}

# start_apt SUITE...: fails if they can't be reached; apt_reason says why
start_apt()
{
	local suite mirror

	[ -z "$apt" ] || return "$apt_status"
	command -v apt-get >/dev/null || die "no apt-get here to fetch packages with"
	[ -r "$KEYRING" ] || die "to check signatures this is missing: apt install debian-archive-keyring"
	apt=$(mktemp -d "$cache/${0##*/}-apt.XXXXXX") || die "can't write to $cache"
	mkdir -p "$apt"/{lists,cache/archives}/partial
	: >"$apt/status"
	mirror=$(debian_mirror)
	for suite; do
		echo "deb [signed-by=$KEYRING] $mirror $suite main"
	done >"$apt/sources.list"
	private_apt apt-get update >>"$apt/log"
	apt_status=$?
	return "$apt_status"
}

apt_reason()
{
	grep -m 1 -hE '^(E|Err|W):' "$apt/log" || echo "the archive has none"
}

# known FILE: sets found to what newest() found today, if it did
known()
{
	[ -n "$(find "$cache/$1" -mmin -1440 2>/dev/null)" ] && found=$(cat "$cache/$1")
}

# 1 asks the archive even if it was asked today
lookup=0

# newest FILE WHAT LOOKUP CACHED: sets found to what the function LOOKUP prints, which is
# asked once a day; if it has no answer, to what CACHED does, the newest that needs no
# network.  FILE in the cache is the last answer, also the latter: where there is no
# network nobody has to wait for it more than once a day.
newest()
{
	local file=$cache/$1 what=$2

	if [ "$lookup" = 0 ] && known "$1"; then
		return
	fi
	note "looking up the newest $what"
	# Not in the command substitution: what start_apt sets is needed later
	if start_apt "${SUITES[@]}" && found=$("$3") && [ -n "$found" ]; then
		echo "$found" >"$file"
	elif found=$("$4") && [ -n "$found" ]; then
		note "can't look it up ($(apt_reason)): taking the newest in the cache"
		echo "$found" >"$file"
	else
		die "can't find the newest $what: $(apt_reason)"
	fi
}

# Of scripts that get a program of the archive with all that it needs.  Such a script has
# find_version, which sets version and root, download, and unpack.
version=
root=

# get_root WHAT MIB: WHAT is in the directory root afterwards.  This needs MIB of disk.
get_root()
{
	[ ! -e "$root" ] || return 0
	check_disk "$2"
	command -v dpkg-deb >/dev/null || die "to unpack $1 this is missing: apt install dpkg"
	if ! download; then
		# The archive may have a newer one in its place since it was looked up
		lookup=1
		find_version
		[ ! -e "$root" ] || return 0
		download || die "can't download $1 $version: $(apt_reason)"
	fi
	note "unpacking them"
	unpack_to "$root" unpack
}

# cached_root NAME: the newest version of it that is in the cache, or nothing
cached_root()
{
	find "$cache" -maxdepth 1 -name "$1-[0-9]*" -printf '%f\n' | sed "s/^$1-//" | sort -V |
		tail -n 1
}

# unpack_all DIR [TAR_OPTION]...: what is needed to run the packages that were downloaded
unpack_all()
{
	local dir=$1 package

	shift
	for package in "$apt"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir" --exclude=./etc --exclude=./var \
			--exclude=./usr/share/doc --exclude=./usr/share/man \
			--exclude=./usr/share/locale --exclude=./usr/share/i18n "$@" || return
	done
}

# make_qemu: makes qemu-system-x86_64 in the directory root, and sets program to it.  It starts
# the root's QEMU.  Started with its own loader and libraries, QEMU can't tell where it is, so
# it is told where its modules and its firmware are.
make_qemu()
{
	local lib=usr/lib/x86_64-linux-gnu said

	program=$root/qemu-system-x86_64
	cat >"$program.new" <<-END
		#!/bin/sh
		# Made by vfmig's scripts/${0##*/}
		root=\$(dirname "\$(readlink -f "\$0")")
		QEMU_MODULE_DIR=\$root/$lib/qemu
		export QEMU_MODULE_DIR
		exec "\$root/$lib/ld-linux-x86-64.so.2" --argv0 "\$0" --library-path "\$root/$lib" \\
			"\$root/usr/bin/qemu-system-x86_64" \\
			-L "\$root/usr/share/qemu" -L "\$root/usr/share/seabios" "\$@"
	END
	chmod 755 "$program.new" && mv "$program.new" "$program" || die "can't write to $root"
	said=$("$program" --version 2>&1) || die "QEMU of $root does not run here: $(head -n 1 <<<"$said")"
}

# prune_roots NAME: removes all but the newest from the cache
prune_roots()
{
	local file

	find_version
	for file in "$cache/$1"-{[0-9]*,unpack.*,apt.*}; do
		case $file in
		"$root" | "$apt")
			continue
			;;
		esac
		[ -e "$file" ] || continue
		note "removing $file"
		rm -rf "$file"
	done
}
