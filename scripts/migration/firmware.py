# SPDX-License-Identifier: GPL-2.0-only
"""A machine without an operating system, whose BIOS boots from a VF and polls it.  The boot
sector, scripts/guest/boot.S, reads through the BIOS and compares.
"""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Iterator

from . import Failure
from .carry import TIMEOUT, Load, describe, hand_over
from .combination import Hardware
from .guest import Verified
from .host import Vf
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, attempt, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

# Offset and size in MiB, as in boot.S; and the bytes that each dot stands for
REGION = (16, 4)
DOT = 64 * 4096
LOAD = Load("BIOS polls")
# Each side must read the whole region once
DOTS = (REGION[1] << 20) // DOT


def watch(qemu: Qemu) -> Verified:
    """Waits until the boot sector has read the region in this QEMU."""
    deadline = time.monotonic() + TIMEOUT
    said = b""
    qemu.agent.settimeout(1)
    while len(said) < DOTS:
        with suppress(TimeoutError):
            said += qemu.agent.recv(DOTS)
        if wrong := said.strip(b"."):
            raise Failure(f"the boot sector in {qemu.name} says '{wrong.decode()}'")
        if time.monotonic() > deadline:
            raise Failure(f"the boot sector in {qemu.name} has read {len(said)} of {DOTS} pieces")
        qemu.running()
    return Verified(len(said) * DOT)


def install(tour: Tour) -> None:
    """Has an ordinary guest write the boot sector and the data that it reads."""
    disk = tour.disks[0]
    disk.guest.output(f"dd if=/boot.bin of={disk.device} bs=512 && sync")
    if disk.write(*REGION, tour.next_seed()).errors:
        raise Failure(f"{disk.device} reads other blocks than were written")


def polled(tour: Tour, result: Result) -> Timeline:
    """Boots from the first VF of a tour, and migrates to the other."""
    lab = tour.lab
    timeline = describe(tour, PRECOPY, LOAD, result)
    combination = replace(tour.combination, hardware=Hardware(boots_vf=True))

    def start(number: int, vf: Vf, **options: Any) -> Qemu:
        qemu = Qemu(f"{tour.name}-bios-{number}", lab.image, lab.logs, lab.run, [vf],
                    tour.emulators[number], combination, **options)
        stack.callback(qemu.quit)
        return qemu

    with ExitStack() as stack:
        source = start(0, tour.vfs[0])
        lab.progress("the BIOS boots from its disk")
        total = watch(source)
        destination = start(1, tour.other_vfs[0], incoming=True)
        hand_over(tour, PRECOPY, result, timeline, source, destination)
        total += watch(destination)
    result.io_bytes_verified = total.read
    # The boot sector compares each block in memory
    result.memory_bytes_verified = total.read
    return timeline


def firmware(lab: Lab) -> Iterator[Step]:
    """The BIOS boots from a VF, and polls it while it migrates."""
    tour = one_vf_tour(lab, "firmware")
    install(tour)
    lab.end_tour()
    result = Result("firmware")
    attempt(tour, result, lambda: polled(tour, result))
    # A picture would need the guest's I/O over time
    yield result, None
