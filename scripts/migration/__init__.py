# SPDX-License-Identifier: GPL-2.0-only
"""Live migration of a guest with simulated VFs, as scripts/run shows it.

combination  which QEMUs, machine type and hardware, IOMMU and dirty tracking
host         the PFs and their VFs, seen from sysfs
wire         the network on the host: a bridge and the peer
qemu         a QEMU process and its QMP
guest        what runs in the guest: commands, verified I/O, its kernel log
traffic      verified traffic of the guest's NICs
result       one migration's figures, and the targets that they are held against
tour         a guest that goes from VF to VF, and what stays the same meanwhile
carry        a migration under verified I/O: the one road for all scenarios
step         one migration of a scenario
late         what comes when the guest has stopped already
plugging     VFs that are hot-plugged, and the identities of their disks
fresh        a medium that is empty when the migration begins
resets       resets of the device in PRE_COPY
killed       QEMU processes that are killed
place        a snapshot in place
soak         a long run, in which QEMUs are killed at random moments
leftover     what work leaves in the kernel: objects and memory
cpus         four processors with a queue each
crossing     two guests at the same time
mapped       from mapped doorbells to trapped ones and back
firmware     a machine whose BIOS polls the disk
net          guests with a NIC
dpdk         a NIC that DPDK drives in the guest
pxe          a machine whose firmware boots from a NIC
faults       the kinds of faults of a VF, and how each is set
misbehave    what QEMU makes of each fault
behaviour    that as tables
hosts        two hosts, each a test VM, and commands on either
domain       a guest under libvirt, as qemu is one of QEMU's own
pair         two hosts and the guest that goes from one to the other
acts         what users of libvirt do to a guest, and what befalls it
two_hosts    these acts under verified I/O
vfs          a program that makes VFs, on either host
scenarios    what is migrated, and how
trace        what QEMU's traces say of a migration
timeline     what a migration leaves for its picture
picture      the pictures
report       report.html
summary      the table and summary.json
tracking     dirty tracking turned on and off beside QEMU, for scripts/bench_guest.py
figure       a figure of scripts/bench
"""


import os


def patience(seconds: float) -> float:
    """How long to wait for what takes so long on a kernel that checks nothing of itself."""
    return seconds * int(os.environ.get("VFMIG_SLOWNESS", "1"))


class Failure(Exception):
    """Something did not go as it must; the text is for the person who ran it."""


class GuestLost(Failure):
    """The guest is gone all of a sudden: it reset, as one does whose processor has no way
    out, or KVM gave its processor up."""


class LeftOut(Exception):
    """What is here can't do a scenario; the text says what is missing."""
