# SPDX-License-Identifier: GPL-2.0-only
"""A guest that drives its NIC in user space: DPDK's testpmd has the VF through VFIO, and answers
the peer's pings.  scripts/guest/dpdk starts it.
"""

import re
import time
from pathlib import Path
from typing import Callable, Iterator

from . import Failure, LeftOut
from .carry import Load, describe, live, note_network
from .combination import UNTRACKED, Hardware
from .guest import Guest
from .result import Result
from .step import PRECOPY, Step, attempt
from .timeline import Timeline
from .tour import Lab, Tour
from .traffic import TIMEOUT, Carried, Pinger, Pings
from .wire import Wire

NAME = "dpdk"
# The disk with all that the guest needs for it, and where the guest has it
PACK, DISK = "dpdk.img", "/dev/vdb"
LOAD = Load("DPDK answers pings", (0, 0))

# DPDK takes no plugin from where everyone may write
PLACE = "/mnt"
DIR = "/tmp/testpmd"
SAID = "/tmp/testpmd.said"

# Replies after which the pings count as going on
GOES_ON = 50
# Bytes of a reply that the peer compares
COMPARED = 8


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"after {TIMEOUT:.0f} s {what}")
        time.sleep(0.2)


class Testpmd:
    """DPDK's testpmd in the guest, with a NIC that the kernel loses."""

    def __init__(self, guest: Guest, nic: str):
        self._guest = guest
        self.mac = guest.output(f"cat /sys/class/net/{nic}/address").strip()
        guest.output(f"mount -t ext4 -o ro,noload {DISK} {PLACE} && "
                     f"({PLACE}/dpdk {nic} {DIR} >{SAID} 2>&1 &)")
        guest.wait_for(f"grep -q RX-packets {DIR}/log || [ -s {SAID} -o -e {DIR}/status ]",
                       "statistics of testpmd")
        self.packets()

    def packets(self) -> tuple[int, int]:
        """That it has received and sent, as it said last.  Raises Failure if it has ended."""
        ended = self._guest.output(f"cat {SAID} {DIR}/status 2>/dev/null; true").strip()
        log = self._guest.output(f"tail -n 20 {DIR}/log 2>/dev/null; true")
        counts = [re.findall(rf"{way}-packets: +(\d+)", log) for way in ("RX", "TX")]
        if ended or not all(counts):
            raise Failure(f"testpmd has ended or says nothing of its packets: {ended} "
                          f"{log.strip()[-300:]}")
        return int(counts[0][-1]), int(counts[1][-1])

    def wait_packets(self, number: int) -> None:
        """Waits until it has received and sent more than so many."""
        wait_until(lambda: min(self.packets()) > number,
                   f"testpmd has not had {number} packets each way")

    def interrupts(self) -> int:
        """That VFIO has handed on to it."""
        lines = self._guest.output("grep vfio-msix /proc/interrupts").splitlines()
        return sum(int(line.split()[1]) for line in lines)

    def end(self) -> None:
        """Ends it in order."""
        self._guest.output(f"kill $(cat {DIR}/pid)")
        self._guest.wait_for(f"[ -e {DIR}/status ]", "end of testpmd")
        status = self._guest.output(f"cat {DIR}/status").strip()
        if status != "0":
            log = self._guest.output(f"tail -n 5 {DIR}/log")
            raise Failure(f"testpmd ended with status {status}: {log.strip()[-300:]}")


class Echo:
    """The peer's pings, and testpmd's answers."""

    def __init__(self, wire: Wire, image: Path, log: Path, address: str, testpmd: Testpmd):
        self._address = address
        self._testpmd = testpmd
        self._before = min(testpmd.packets())
        self._pinger = Pinger(wire, image, log, address, testpmd.mac)
        self.goes_on()

    def goes_on(self) -> None:
        """Waits until there are more replies."""
        before = len(self._pinger.pings().replies)
        wait_until(lambda: len(self._pinger.pings().replies) >= before + GOES_ON,
                   f"{self._address} does not answer pings")

    def samples(self) -> list[tuple[float, list[int]]]:
        """It has no streams."""
        return []

    def wait_announced(self, since: float) -> None:
        wait_until(lambda: self._pinger.announced(since),
                   f"{self._address} has not announced itself")

    def stop(self) -> tuple[Carried, Pings]:
        """Ends the pings, after they were seen to go on.  testpmd has had as many packets."""
        self.goes_on()
        pings = self._pinger.stop()
        self._testpmd.wait_packets(self._before + len(pings.replies) - 1)
        carried = Carried(COMPARED * len(pings.replies))
        for error in pings.errors:
            carried.wrong(1, f"ping: {error}")
        return carried, pings


def answers_on(tour: Tour, testpmd: Testpmd, result: Result) -> Timeline:
    """One migration while the peer pings."""
    lab = tour.lab
    assert lab.wire
    timeline = describe(tour, PRECOPY, LOAD, result)
    echo = Echo(lab.wire, lab.image, lab.logs / f"{NAME}-{tour.migrations}.pings",
                tour.nics[0].address, testpmd)
    interrupts = testpmd.interrupts()
    try:
        live(tour, PRECOPY, result, timeline)
        note_network([echo], result, timeline)
        # It learns in no other way that it is to announce itself
        if testpmd.interrupts() == interrupts:
            raise Failure("DPDK has had no interrupt")
    finally:
        lab.wire.end_peers()
    timeline.finish([])
    result.guest_messages = tour.guest.kernel_errors()
    result.guest_errors = len(result.guest_messages)
    return timeline


def dpdk(lab: Lab) -> Iterator[Step]:
    """DPDK drives a NIC in the guest, which moves there and back."""
    pack = lab.image / PACK
    if not pack.exists():
        raise LeftOut(f"there is no DPDK: scripts/guest-dpdk makes {pack}")
    emulator = lab.emulators[-1]
    if not emulator.moves_guest_iommu:
        raise LeftOut(f"QEMU {emulator} does not migrate a VF of a guest with an IOMMU")
    lab.set_nics(2, 1)
    # QEMU refuses if the device tracks and the guest has an IOMMU
    tour = lab.tour(NAME, [[lab.nics[0]], [lab.nics[1]]], (emulator, emulator), UNTRACKED,
                    hardware=Hardware(packs=(pack,), iommu=True))
    lab.progress("DPDK takes the NIC")
    testpmd = Testpmd(tour.guest, tour.nics[0].name)
    for name in (NAME, f"{NAME}, back"):
        result = Result(name)
        attempt(tour, result, lambda result=result: answers_on(tour, testpmd, result))
        # A picture would need streams
        yield result, None
        if not result.good():
            return
    testpmd.end()
