# SPDX-License-Identifier: GPL-2.0-only
"""A machine without an operating system, whose firmware boots from a VF and polls it.  What it
boots, scripts/guest/boot.S or uefi.c, reads through the firmware and compares.
"""

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator

from . import Failure, LeftOut
from .carry import TIMEOUT, Load, describe, hand_over
from .combination import Emulator, Hardware
from .guest import Verified
from .host import Vf
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, attempt, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

# Offset and size in MiB, as in boot.S and uefi.c; and the bytes that each dot stands for
REGION = (16, 4)
DOT = 64 * 4096
# Each side must read the whole region once
DOTS = (REGION[1] << 20) // DOT


@dataclass(frozen=True)
class Firmware:
    """A kind of firmware and what it boots: a file of the guest's root, for the beginning of the
    disk.  begins is the last byte on the serial port that is not from there."""
    name: str
    boots: str
    hardware: Hardware
    begins: bytes = b""
    # Times that it boots before the machine migrates
    times: int = 1


BIOS = Firmware("BIOS", "/boot.bin", Hardware(boots_vf=True))
# An emulated processor does not survive OVMF in a guest that KVM runs on it (Emulated CPUs in
# Documentation/testing.rst)
EMULATED = os.environ.get("VFMIG_ACCEL") == "tcg"
OVMF = Firmware("UEFI", "/uefi.img",
                Hardware(boots_vf=True, firmware="/usr/share/ovmf/OVMF.fd", kvm=not EMULATED),
                b"\x02", 2 if EMULATED else 6)


def watch(qemu: Qemu, begins: bytes = b"") -> Verified:
    """Waits until what was booted has read the region in this QEMU."""
    deadline = time.monotonic() + TIMEOUT
    said, begun = b"", not begins
    qemu.agent.settimeout(1)
    while len(said) < DOTS or not begun:
        with suppress(TimeoutError):
            said += qemu.agent.recv(256)
        if not begun:
            _, begun, said = said.rpartition(begins)
            said = said if begun else b""
        if begun and (wrong := said.strip(b".")):
            raise Failure(f"the boot loader in {qemu.name} says '{wrong.decode()}'")
        if time.monotonic() > deadline:
            raise Failure(f"the boot loader in {qemu.name} has read {len(said)} of {DOTS} pieces")
        qemu.running()
    return Verified(len(said) * DOT)


def install(tour: Tour, firmware: Firmware) -> None:
    """Has an ordinary guest write what is booted, and the data that it reads."""
    disk = tour.disks[0]
    disk.guest.output(f"dd if={firmware.boots} of={disk.device} bs=64k && sync")
    if disk.write(*REGION, tour.next_seed()).errors:
        raise Failure(f"{disk.device} reads other blocks than were written")


def polled(tour: Tour, firmware: Firmware, result: Result) -> Timeline:
    """Boots from the first VF of a tour, and migrates to the other."""
    lab = tour.lab
    timeline = describe(tour, PRECOPY, Load(f"{firmware.name} polls"), result)
    combination = replace(tour.combination, hardware=firmware.hardware)

    def start(name: str, vf: Vf, emulator: Emulator, **options: Any) -> Qemu:
        qemu = Qemu(f"{tour.name}-{name}", lab.image, lab.logs, lab.run, [vf], emulator,
                    combination, **options)
        stack.callback(qemu.quit)
        return qemu

    total = Verified()
    with ExitStack() as stack:
        for number in range(firmware.times):
            if number:
                source.quit()
            lab.progress(f"the {firmware.name} boots from its disk")
            source = start(f"boot-{number}", tour.vfs[0], tour.emulators[0])
            total += watch(source, firmware.begins)
        destination = start("moved", tour.other_vfs[0], tour.emulators[1], incoming=True)
        hand_over(tour, PRECOPY, result, timeline, source, destination)
        total += watch(destination)
    result.io_bytes_verified = total.read
    # The boot loader compares each block in memory
    result.memory_bytes_verified = total.read
    return timeline


def boots(lab: Lab, name: str, firmware: Firmware) -> Iterator[Step]:
    tour = one_vf_tour(lab, name)
    install(tour, firmware)
    lab.end_tour()
    result = Result(name)
    attempt(tour, result, lambda: polled(tour, firmware, result))
    # A picture would need the guest's I/O over time
    yield result, None


def bios(lab: Lab) -> Iterator[Step]:
    """The BIOS boots from a VF, and polls it while it migrates."""
    return boots(lab, "firmware", BIOS)


def uefi(lab: Lab) -> Iterator[Step]:
    """The same with UEFI's firmware."""
    if not Path(OVMF.hardware.firmware).exists():
        raise LeftOut(f"there is no {OVMF.hardware.firmware}")
    return boots(lab, "uefi", OVMF)
