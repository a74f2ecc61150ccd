# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For scripts that run test programs in several test VMs at once.  The VMs share the list of
# programs: each takes the next one that nobody has (scripts/check-vm).  To be sourced after
# lib.sh, with "trap kill_vms EXIT".

# MiB that a VM for test programs has, and what it comes to use of them
VM_MEMORY=4096
VM_MEMORY_USED=2560

# The VMs that were started: process:directory of the log
vms=()

# start_vm DIR LOG TIMEOUT [VM-OPTION]... -- [CHECK-VM-OPTION]... [PROGRAM]...: test
# programs in a VM, in the background, and in a process group of its own
start_vm()
{
	local dir=$1 log=$2 timeout=$3 options=() inside=()

	shift 3
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	while [[ ${1:-} = --* ]]; do
		inside+=("$1")
		shift
	done
	boot_vm "$log" "$timeout" "${options[@]+"${options[@]}"}" -- \
		"$TOP/scripts/check-vm" "${inside[@]+"${inside[@]}"}" "$dir" "$@"
}

# boot_vm LOG TIMEOUT [VM-OPTION]... -- COMMAND...: the same with any command
boot_vm()
{
	mkdir -p "$1"
	set -m
	"$TOP/scripts/vm" --timeout "$2" --memory "$VM_MEMORY" --log "$1" "${@:3}" </dev/null &
	set +m
	vms+=("$!:$1")
}

kill_vms()
{
	local vm

	for vm in "${vms[@]+"${vms[@]}"}"; do
		kill -- "-${vm%%:*}" 2>/dev/null
	done
}

# number_of_vms PROGRAMS: as many as have work to do and room.  The tests wait for resets
# and the like most of the time.  Where the kernel takes more for itself, a VM keeps a CPU
# busy; with more of them an emulated CPU that holds a lock often stands still.
number_of_vms()
{
	local number room

	number=$(($(nproc) * 5 / 2))
	[ "$(kernel_slowness "$(vm_kdir "$(vm_release)")")" = 1 ] || number=$(nproc)
	room=$(($(memory_available) / VM_MEMORY_USED))
	[ "$room" -ge 1 ] || room=1
	number=$((number < room ? number : room))
	echo $((number < $1 ? number : $1))
}
