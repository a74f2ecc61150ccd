# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Functions for all scripts of this directory: messages, and the choice of the kernel
# that the modules are built for and that the test VM boots.  Sourced, never run.  Sets
# TOP (the checkout) and BUILD (the directory for all output of scripts).

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$TOP/build
export TOP BUILD

# Values of KERNEL: the distribution's kernel, and those that scripts/kernel builds
BUILT_KERNELS=(mainline debug kcsan builtin iov-lock)
KERNELS=(distro "${BUILT_KERNELS[@]}")

# The PFs of a kernel that has the drivers built in, where nobody loads them: a parameter of
# the kernel for scripts/migrate.py
export PFS=vfmig_sim.models=nvme,virtio-net

# A stock device with BARs to map, and the IOMMU that it takes: options for scripts/vm.  With
# "check-vm --stock" lockdep learns of VFIO's locks what our own VFs never show it.
# shellcheck disable=SC2034	# for those that source this
STOCK_DEVICE=(--qemu-arg -device --qemu-arg intel-iommu --append intel_iommu=on
	--qemu-arg -device --qemu-arg edu)

# Oldest kernel that the modules build for
MIN_KERNEL=6.12

say()
{
	printf '%s: %s\n' "${0##*/}" "$*"
}

warn()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# This machine or this call can't do it: one line, exit status 2
die()
{
	warn "$@"
	exit 2
}

# Prints the header comment of the calling script, the usage text
usage()
{
	sed -n '/^# Usage:/,/^[^#]/s/^# \{0,1\}//p' "$0"
}

# copy_source DIR: the checkout without what was built in it; no git is needed
copy_source()
{
	mkdir -p "$1" || return
	tar -c -C "$TOP" --exclude=./build --exclude=./.git --exclude=__pycache__ \
		-X "$TOP/.gitignore" . | tar -x -C "$1" && make -s -C "$1" clean
}

# version_at_least A B: is version A the same as B or newer?
version_at_least()
{
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# is_kernel NAME: one of KERNELS?
is_kernel()
{
	case " ${KERNELS[*]} " in
	*" $1 "*)	return 0 ;;
	*)		return 1 ;;
	esac
}

# KERNEL, the kernel to test on, is distro unless it is set
check_kernel_name()
{
	export KERNEL=${KERNEL:-distro}
	is_kernel "$KERNEL" || die "KERNEL=$KERNEL: there are ${KERNELS[*]}"
}

# From here on KDIR, VM_IMAGE and VM_MODULES say where the kernel is that KERNEL
# names, which is built first if need be.  Where KDIR is set already, that one is
# taken, and KERNEL only names the results.
use_kernel()
{
	local settings

	check_kernel_name
	[ -z "${KDIR:-}" ] || return 0
	settings=$("$TOP/scripts/kernel" "$KERNEL") || exit
	eval "$settings"
}

# results_dir NAME: where results of that kernel go, each kernel's to its own
results_dir()
{
	case $KERNEL in
	distro)	echo "$BUILD/$1" ;;
	*)	echo "$BUILD/$1-$KERNEL" ;;
	esac
}

# How many times as long as usual may things take on kernel $1 (a build
# directory)?  One that watches every access is that slow.
kernel_slowness()
{
	if grep -qsE '^CONFIG_(KASAN|KCSAN|PROVE_LOCKING)=y' "$1/include/config/auto.conf"; then
		echo 3
	else
		echo 1
	fi
}

# Are our drivers built into the kernel that $1 is the build directory of?
kernel_has_drivers()
{
	grep -qs '^CONFIG_VFMIG_SIM=y' "$1/include/config/auto.conf"
}

# Where the headers of kernel release $1 are, if they are complete enough
kernel_headers()
{
	local dir=/lib/modules/$1/build

	[ -e "$dir/Makefile" ] && [ -e "$dir/include/config/auto.conf" ] && echo "$dir"
}

# Installed releases that are new enough and have headers, newest first
kernel_releases()
{
	local dir rel

	for dir in /lib/modules/*; do
		rel=${dir##*/}
		version_at_least "$rel" "$MIN_KERNEL" || continue
		kernel_headers "$rel" >/dev/null && echo "$rel"
	done | sort -rV
}

# The directory to build against: KDIR, which KERNEL may set, else the running
# kernel's headers, else the newest installed ones
build_kdir()
{
	local rel

	if [ -n "${KDIR:-}" ]; then
		echo "$KDIR"
		return
	fi
	rel=$(uname -r)
	if ! version_at_least "$rel" "$MIN_KERNEL" || ! kernel_headers "$rel" >/dev/null; then
		rel=$(kernel_releases | head -n 1)
	fi
	[ -n "$rel" ] && kernel_headers "$rel"
}

# For the Makefile
print_kdir()
{
	use_kernel
	build_kdir || die "no kernel headers from $MIN_KERNEL on: run scripts/setup or give KDIR="
}

# Where the modules of kernel release $1 are: VM_MODULES is an INSTALL_MOD_PATH
kernel_modules()
{
	echo "${VM_MODULES:-}/lib/modules/$1"
}

kernel_image()
{
	echo "${VM_IMAGE:-/boot/vmlinuz-$1}"
}

# Can release $1 boot the test VM?  It needs an image, and 9p to find its root.
kernel_bootable()
{
	local dir

	[ -r "$(kernel_image "$1")" ] || return 1
	dir=$(kernel_modules "$1")
	grep -qs '/9pnet_virtio\.ko' "$dir/modules.dep" "$dir/modules.builtin"
}

# The release that the test VM boots: that of KDIR, else the newest bootable one.
# Not always the running one: a cloud kernel has no 9p.
vm_release()
{
	local rel

	if [ -n "${KDIR:-}" ]; then
		cat "$KDIR/include/config/kernel.release" 2>/dev/null
		return
	fi
	for rel in $(kernel_releases); do
		if kernel_bootable "$rel"; then
			echo "$rel"
			return
		fi
	done
	return 1
}

# The directory to build against for release $1, as the test VM boots it
vm_kdir()
{
	if [ -n "${KDIR:-}" ]; then
		echo "$KDIR"
	else
		kernel_headers "$1"
	fi
}

# kvm if hardware virtualization is there, nests and works, else tcg.  That
# /dev/kvm opens proves nothing: some hosts have one that runs no stock kernel.
first_level_accel()
{
	local nested

	if ! grep -qwE 'vmx|svm' /proc/cpuinfo || ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
		echo tcg
		return
	fi
	nested=$(cat /sys/module/kvm_intel/parameters/nested \
		/sys/module/kvm_amd/parameters/nested 2>/dev/null) || :
	case $nested in
	*[1Y]*)	echo kvm ;;
	*)	echo tcg ;;
	esac
}

# Free memory in MiB, as far as a new process can get it
memory_available()
{
	awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo
}

# What the second-level guest needs, in its kernel or as a module
GUEST_DRIVERS=(virtio_pci virtio_blk virtio_net nvme ext4)

# arrange_guest_kernel ROOT: Debian's packages of a kernel have been unpacked there.  Makes it
# ROOT/vmlinuz and ROOT/lib/modules/RELEASE, with what modprobe has to know.
arrange_guest_kernel()
{
	local file image=

	for file in "$1"/{boot/vmlinuz-*,usr/lib/modules/*/vmlinuz}; do
		[ ! -e "$file" ] || image=$file
	done
	[ -n "$image" ] && mv "$image" "$1/vmlinuz" || return
	# Of some kernels modules are in one of the two, of some in the other.  modprobe, too,
	# knows one of them only.
	if ! [ -d "$1/usr/lib/modules" ]; then
		mkdir -p "$1/usr/lib" && mv "$1/lib/modules" "$1/usr/lib/" || return
	fi
	rm -rf "${1:?}"/{boot,lib,usr/share}
	ln -s usr/lib "$1/lib" &&
		PATH=$PATH:/usr/sbin:/sbin depmod -b "$1" "$(guest_release "$1")"
}

# guest_release ROOT: of the kernel there
guest_release()
{
	local dir

	for dir in "$1"/lib/modules/*; do
		[ -d "$dir" ] && echo "${dir##*/}" && return
	done
	return 1
}

# guest_modules ROOT [DRIVER]...: the files of all modules that a guest with the kernel there needs,
# or that these drivers need, in the order in which they are loaded
guest_modules()
{
	local driver release root=$1 steps=

	release=$(guest_release "$root") || return
	shift
	[ $# -gt 0 ] || set -- "${GUEST_DRIVERS[@]}"
	for driver; do
		steps+=$(PATH=$PATH:/usr/sbin:/sbin modprobe -d "$root" -C /dev/null -S "$release" \
			--show-depends "$driver")$'\n' || return
	done
	sed -n 's/^insmod \(.*[^ ]\) *$/\1/p' <<<"$steps" | awk '!seen[$0]++'
}

# have_guest_kernel ROOT: is all that a guest needs there?
have_guest_kernel()
{
	[ -r "$1/vmlinuz" ] && guest_modules "$1" >/dev/null 2>&1
}

# The root with the guest's kernel: of the series that GUEST_KERNEL names, which comes into
# the cache first if need be, else the one that set-up unpacked
guest_kernel()
{
	if [ -n "${GUEST_KERNEL:-}" ]; then
		"$TOP/scripts/guest-kernel" "$GUEST_KERNEL"
	else
		echo "$BUILD/cache/guest-kernel"
	fi
}

# Where scripts/guest-image puts the guest, each kernel's to its own
guest_image()
{
	echo "$BUILD/guest${GUEST_KERNEL:+-$GUEST_KERNEL}"
}

# A statically linked busybox: the one that set-up unpacked, else the machine's
guest_busybox()
{
	local file

	for file in "$BUILD"/cache/guest/{bin,usr/bin}/busybox /bin/busybox; do
		[ -x "$file" ] && ! ldd "$file" >/dev/null 2>&1 && echo "$file" && return
	done
	return 1
}

# unpack_module FILE DIR: puts FILE into DIR as plain .ko
unpack_module()
{
	local name=${1##*/}

	name=${name%%.ko*}.ko
	case $1 in
	*.xz)	xz -dc "$1" ;;
	*.zst)	zstd -dcq "$1" ;;
	*.gz)	gzip -dc "$1" ;;
	*)	cat "$1" ;;
	esac >"$2/$name" || die "can't unpack $1"
	echo "$name" >>"$2/order"
}

# make_cpio DIR FILE
make_cpio()
{
	(cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) >"$2.new" && mv "$2.new" "$2"
}

# Builds the modules for the kernel that the test VM boots.  What a calling make has in
# the environment stays out: it makes this one warn about -j, which the log is judged by.
build_modules()
{
	local release log=$BUILD/build.log

	release=$(vm_release) || die "no kernel from $MIN_KERNEL on: run scripts/setup"
	if kernel_has_drivers "$(vm_kdir "$release")"; then
		say "Linux $release has the drivers built in"
		return
	fi
	say "building the modules for Linux $release"
	if ! env -u MAKEFLAGS -u MAKEOVERRIDES -u MAKELEVEL \
		make -C "$TOP" -j"$(nproc)" KDIR="$(vm_kdir "$release")" "$@" modules >"$log" 2>&1; then
		warn "the build failed:"
		grep -E 'error|Error|warning' "$log" | head -n 20 >&2
		warn "the whole log is $log"
		return 1
	fi
}

# Has clang its fuzzer?  It is in a package of its own.
have_fuzzer()
{
	local library=libclang_rt.fuzzer-x86_64.a

	command -v clang >/dev/null && [ -e "$(clang -print-file-name=$library)" ]
}
