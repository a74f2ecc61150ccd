# SPDX-License-Identifier: GPL-2.0-only
"""A machine without an operating system, whose firmware boots from a VF and polls it.  A
program on the disk reads through the firmware and compares: the boot sector
scripts/guest/boot.S, or the UEFI program scripts/guest/efi.c, which then starts Linux.
"""

import os
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

from . import Failure, LeftOut
from .carry import TIMEOUT, Load, describe, take_figures, wait_end, wait_running
from .combination import OVMF, Hardware
from .guest import Disk, Guest, Verified
from .host import Vf
from .qemu import CMDLINE, Qemu
from .result import Result
from .step import PRECOPY, Step, attempt, no_errors, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

# Offset and size in MiB, as in boot.S and efi.c; and the bytes that each dot stands for
BIOS_REGION = (16, 4)
UEFI_REGION = (48, 4)
DOT = 64 * 4096
# The machine type of this machine, if it is a VM of QEMU
MACHINE = Path("/sys/class/dmi/id/product_version")
# The first known QEMU that emulates a guest's writes to CR8 without a fault.  OVMF writes CR8 at
# the end of each interrupt.
CR8_QEMU = (11, 1)
# What Linux gets from efi.c in addition to what it gets from QEMU
LINUX = "initrd=\\INITRD agent=ttyS2"
LOAD = Load("firmware polls")
# Each side must read the whole region once
DOTS = (BIOS_REGION[1] << 20) // DOT

# What the machine does at the destination when it has read the region there.  Takes the seed
# of the region.
Afterwards = Callable[[Qemu, int, Result], None]


def watch(qemu: Qemu) -> Verified:
    """Waits until the program has read the region in this QEMU."""
    deadline = time.monotonic() + TIMEOUT
    said = b""
    qemu.agent.settimeout(1)
    while len(said) < DOTS:
        with suppress(TimeoutError):
            said += qemu.agent.recv(DOTS)
        if wrong := said.strip(b"."):
            raise Failure(f"the program in {qemu.name} says '{wrong.decode()}'")
        if time.monotonic() > deadline:
            raise Failure(f"the program in {qemu.name} has read {len(said)} of {DOTS} pieces")
        qemu.running()
    return Verified(len(said) * DOT)


def install(tour: Tour, image: str, region: tuple[int, int]) -> None:
    """Has an ordinary guest write the program and the data that it reads."""
    disk = tour.disks[0]
    disk.guest.output(f"dd if={image} of={disk.device} bs=64k && sync")
    if disk.write(*region, tour.next_seed()).errors:
        raise Failure(f"{disk.device} reads other blocks than were written")


def polled(tour: Tour, hardware: Hardware, afterwards: Afterwards, result: Result) -> Timeline:
    """Boots from the first VF of a tour, and migrates to the other."""
    lab = tour.lab
    timeline = describe(tour, PRECOPY, LOAD, result)
    combination = replace(tour.combination, hardware=hardware)

    def start(number: int, vf: Vf, **options: Any) -> Qemu:
        qemu = Qemu(f"{tour.name}-boots-{number}", lab.image, lab.logs, lab.run, [vf],
                    tour.emulators[number], combination, **options)
        stack.callback(qemu.quit)
        return qemu

    with ExitStack() as stack:
        source = start(0, tour.vfs[0])
        lab.progress("the firmware boots from its disk")
        total = watch(source)
        destination = start(1, tour.other_vfs[0], incoming=True)
        for qemu in (source, destination):
            PRECOPY.apply(qemu)
        timeline.begin = time.time()
        source.qmp.command("migrate", uri=destination.listen())
        wait_end(tour, source, result)
        wait_running(destination)
        take_figures(source, PRECOPY, result, timeline)
        total += watch(destination)
        result.io_bytes_verified = total.read
        # The program compares each block in memory
        result.memory_bytes_verified = total.read
        afterwards(destination, tour.seed, result)
    return timeline


def stay(_qemu: Qemu, _seed: int, _result: Result) -> None:
    """The BIOS goes on polling."""


def start_linux(qemu: Qemu, seed: int, result: Result) -> None:
    """Has the UEFI program start Linux, which verifies the region."""
    qemu.agent.sendall(f"{CMDLINE} {LINUX}\n".encode())
    said = b""
    deadline = time.monotonic() + TIMEOUT
    while not said.endswith(b"\n"):
        with suppress(TimeoutError):
            # What follows is for the guest
            said += qemu.agent.recv(1)
        if time.monotonic() > deadline:
            raise Failure(f"the program in {qemu.name} does not take Linux's parameters")
        qemu.running()
    guest = Guest(qemu)
    guest.output("[ -d /sys/firmware/efi ] && [ -b /dev/nvme0n1p1 ]")
    disk = Disk(guest, "/dev/nvme0n1")
    no_errors(disk, seed, UEFI_REGION, "4k")
    result.guest_messages = guest.kernel_errors()
    result.guest_errors = len(result.guest_messages)


def from_vf(lab: Lab, name: str, image: str, region: tuple[int, int], hardware: Hardware,
            afterwards: Afterwards) -> Iterator[Step]:
    tour = one_vf_tour(lab, name)
    install(tour, image, region)
    lab.end_tour()
    result = Result(name)
    attempt(tour, result, lambda: polled(tour, hardware, afterwards, result))
    # A picture would need the guest's I/O over time
    yield result, None


def firmware(lab: Lab) -> Iterator[Step]:
    """The BIOS boots from a VF, and polls it while it migrates."""
    return from_vf(lab, "firmware", "/boot.bin", BIOS_REGION, Hardware(boots_vf=True), stay)


def check_host() -> None:
    if not OVMF.exists():
        raise LeftOut(f"there is no {OVMF}, which the package ovmf has")
    if os.environ.get("VFMIG_ACCEL") == "tcg":
        machine = MACHINE.read_text().strip()
        version = re.fullmatch(r"pc-q35-(\d+)\.(\d+)", machine)
        if not version or tuple(map(int, version.groups())) < CR8_QEMU:
            raise LeftOut(f"the QEMU that emulates this machine ({machine}) aborts when a guest "
                          "under OVMF has interrupts")


def uefi(lab: Lab) -> Iterator[Step]:
    """OVMF boots from a VF, and polls it while it migrates.  Then it starts Linux from the
    VF's disk."""
    check_host()
    yield from from_vf(lab, "uefi", "/uefi.img", UEFI_REGION,
                       Hardware(boots_vf=True, uefi=True), start_linux)
