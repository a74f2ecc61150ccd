# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of faults of a VF (Documentation/faults.rst): how each is set and taken back.

The first word of a fault says its kind: "profile NAME", "dirty RATE FIRST LAST",
"dirty_memory RATE PAGES", "io_fault error|hang FIRST LAST", "fatal", "link down".  All others are
lines of the variant driver's file.
"""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Iterator

from . import Failure
from .carry import Mode, begin, settle, wait_end, wait_running
from .guest import Disk, Guest
from .host import Vf
from .result import Result
from .timeline import Timeline
from .tour import Tour
from .wire import ip

DRIVER = Path("/sys/kernel/debug/vfmig_vfio_pci")
DEVICE = Path("/sys/kernel/debug/vfmig")


class Fault:
    """A fault that the variant driver has, a line of its file."""

    def __init__(self, text: str):
        self._text = text
        self._times = 0

    @property
    def happened(self) -> int:
        """How often it has, while it was set the last time."""
        return self._times

    def prepare(self, tour: Tour, mode: Mode) -> None:
        """What must come before the migration."""

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        """For so long it is set.  The guest does what meets it."""
        faults = DRIVER / vf.address / "faults"
        try:
            faults.write_text(self._text)
        except OSError as error:
            reason = (DRIVER / vf.address / "fault_error").read_text().strip()
            raise Failure(f"'{self._text}' is refused: {reason or error.strerror}") from error
        try:
            yield
        finally:
            self._times = sum(int(line.split()[1]) for line in faults.read_text().splitlines())
            faults.write_text("clear")

    def check(self, guest: Guest) -> None:
        """The migration is over and the fault is taken back: is the guest as it must be?"""

    def end(self) -> None:
        """No guest has the VF."""


class Profile(Fault):
    """A VF that behaves as one of another driver.  It can only become so while it is closed,
    so the guest moves there first."""

    _vf: Vf

    def _choose(self, name: str) -> None:
        (DRIVER / self._vf.address / "profile").write_text(name)

    def prepare(self, tour: Tour, mode: Mode) -> None:
        self._vf = tour.other_vfs[0]
        self._choose(self._text.split()[1])
        timeline, result = Timeline(self._text), Result(self._text)
        # QEMU refuses a source's end of initial data for a VF without PRE_COPY
        mode = replace(mode, capabilities={**mode.capabilities, "switchover-ack": False})
        source, destination = begin(tour, mode, timeline)
        wait_end(tour, source, result)
        wait_running(destination)
        settle(tour, timeline, destination)
        source.quit()

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        self._times = 1
        yield

    def end(self) -> None:
        self._choose("none")


class Dirty(Fault):
    """A medium that changes by itself."""

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        name, text = self._text.split(maxsplit=1)
        dirty = DEVICE / vf.address / name
        dirty.write_text(text)
        try:
            self._begin(tour.guest, tour.disks[0].device)
            yield
        finally:
            self._times = int(dirty.read_text().split()[-1])
            dirty.write_text("none")

    def _begin(self, guest: Guest, device: str) -> None:
        """What the guest does before it migrates."""


class DirtyMemory(Dirty):
    """Guest memory that changes by itself, where the disk wrote it: a buffer of as many pages."""

    def _begin(self, guest: Guest, device: str) -> None:
        pages = int(self._text.split()[-1])
        guest.output(f"dd if={device} of=/dev/null iflag=direct bs={pages * 4}k count=1")


class DiskFault(Fault):
    """LBAs that can't be read, or whose commands don't complete.  The guest reads them all the
    time.  A command that hangs completes when the guest has moved, or the fault is gone."""

    MIB = Disk.MIB // 512
    FIRST, LAST = 60 * MIB, 64 * MIB - 1
    STATUS, STOP = "/tmp/fault-status", "/tmp/fault-stop"

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        fault = DEVICE / vf.address / "io_fault"
        fault.write_text(self._text.removeprefix("io_fault "))
        try:
            self._read_on(tour.guest, tour.disks[0].device)
            yield
        finally:
            self._times = int(fault.read_text().split()[-1])
            fault.write_text("none")

    def _read_on(self, guest: Guest, device: str) -> None:
        """Has the guest read until it is told to stop."""
        guest.output(
            f"rm -f {self.STATUS} {self.STOP}; (while [ ! -e {self.STOP} ]; do "
            f"dd if={device} of=/dev/null iflag=direct bs=4k count=1 skip={self.FIRST // 8} "
            f"2>/dev/null; echo $? >>{self.STATUS}; sleep 0.5; done; "
            f"echo end >>{self.STATUS}) >/dev/null 2>&1 &")

    def check(self, guest: Guest) -> None:
        # One read may be under way, which is not to count as the last
        reads = len(guest.output(f"cat {self.STATUS}").split())
        guest.wait_for(f"[ $(wc -l <{self.STATUS}) -ge {reads + 2} ]", "read after the fault")
        guest.output(f"touch {self.STOP}")
        guest.wait_for(f"grep -q end {self.STATUS}", "end of the reads")
        *statuses, _ = guest.output(f"cat {self.STATUS}").split()
        failed = sum(status != "0" for status in statuses)
        if statuses[-1] != "0":
            raise Failure("a read still fails after the fault")
        if "hang" in self._text and failed:
            raise Failure(f"{failed} reads that hung have failed")


class Fatal(Fault):
    """A controller that has failed.  The guest's driver finds that when a command has not
    completed in its time, and resets the controller, wherever that is then."""

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        (DEVICE / vf.address / "fatal").write_text("1")
        self._times = 1
        yield


class Link(Fault):
    """A link that is down until the migration is over."""

    @contextmanager
    def set(self, tour: Tour, vf: Vf) -> Iterator[None]:
        ip("link", "set", vf.pf_netdev, "vf", str(vf.number), "state", "disable")
        self._times = 1
        try:
            yield
        finally:
            ip("link", "set", vf.pf_netdev, "vf", str(vf.number), "state", "auto")


KINDS: dict[str, type[Fault]] = {
    "profile": Profile,
    "dirty": Dirty,
    "dirty_memory": DirtyMemory,
    "io_fault": DiskFault,
    "fatal": Fatal,
    "link": Link,
}


def fault_of(text: str) -> Fault:
    return KINDS.get(text.split()[0], Fault)(text)


def on_disk(text: str) -> str:
    """A fault of the LBAs that no other I/O of the guest touches."""
    return f"io_fault {text} {DiskFault.FIRST} {DiskFault.LAST}"
