# SPDX-License-Identifier: GPL-2.0-only
"""VFs that are hot-plugged, and the identities of their disks."""

from typing import Iterator

from . import Failure
from .carry import AFTER, BEFORE, Mode, live
from .combination import Hardware
from .guest import Disk
from .result import Result
from .step import PRECOPY, Step, migrate, no_errors, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour


def must_differ(ours: dict[str, str], other: dict[str, str]) -> None:
    same = [f"{name} ({value})" for name, value in ours.items() if other[name] == value]
    if same:
        raise Failure(f"two disks have the same {', '.join(same)}")


def meet_the_source(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live().  Then the source VF is plugged into the guest.  Its medium is a copy of the
    disk, and must have another identity."""
    ours = tour.disks[0]
    before = ours.identity()
    live(tour, mode, result, timeline)
    tour.guest.qemu.plug(tour.other_vfs[0], 1, port=0)
    other = Disk(tour.guest, "/dev/nvme1n1")
    other.wait()
    # The guest's driver compares the identity of the disk with that of its first probe
    tour.guest.output(f"echo 1 >/sys/block/{ours.name}/device/rescan_controller")
    if ours.identity() != before:
        raise Failure(f"the disk was {before} and is {ours.identity()}")
    must_differ(before, other.identity())
    no_errors(other, tour.seed)
    if other.write(*AFTER, tour.seed).errors:
        raise Failure(f"{other.device} reads other blocks than were written")


def fresh_identity(lab: Lab) -> Iterator[Step]:
    """The identity of a disk moves with its medium.  The guest that has moved must see this,
    and the next guest, which gets both VFs."""
    name = "fresh-identity"
    tour = one_vf_tour(lab, name, hardware=Hardware(ports=1))
    before = tour.disks[0].identity()
    step = migrate(tour, Result(name), meet_the_source, PRECOPY)
    yield step
    if not step[0].good():
        return
    seed = tour.seed
    tour = lab.tour(name, [tour.vfs + tour.other_vfs, lab.vfs[2:4]])
    # The guest may find either of them first
    known = [disk for disk in tour.disks if disk.identity() == before]
    if len(known) != 1:
        raise Failure(f"{len(known)} disks of the next guest are {before}: "
                      f"{[disk.identity() for disk in tour.disks]}")
    other = next(disk for disk in tour.disks if disk is not known[0])
    must_differ(before, other.identity())
    lab.progress("the next guest verifies both disks")
    # The first guest wrote here after it had moved, with different seeds
    no_errors(known[0], seed + 1, AFTER, "4k")
    no_errors(other, seed, AFTER, "4k")
    for disk in tour.disks:
        no_errors(disk, seed)


def replugged(tour: Tour) -> None:
    """Unplugs the VF under I/O and plugs it in again.  The guest must find its data."""
    disk, guest = tour.disks[0], tour.guest
    seed = tour.next_seed()
    disk.write(*BEFORE, seed, "32k")
    # This loop ends when the disk is gone
    guest.output(f"(while dd if={disk.device} of=/dev/null bs=16k iflag=direct; do :; done "
                 ">/dev/null 2>&1 &)")
    disk.busy()
    guest.qemu.unplug(0)
    guest.wait_for(f"[ ! -e {disk.device} ] && ! pidof dd", f"end of {disk.device}")
    guest.qemu.plug(tour.vfs[0], 0, port=0)
    disk.wait()
    no_errors(disk, seed)


def hotplug(lab: Lab) -> Iterator[Step]:
    """A VF behind a root port is unplugged and plugged in again, before and after it moves."""
    name = "hotplug"
    tour = one_vf_tour(lab, name, hardware=Hardware(ports=1, behind_ports=True))
    lab.progress("the VF is unplugged and plugged in again")
    replugged(tour)
    step = migrate(tour, Result(name), live, PRECOPY)
    yield step
    if step[0].good():
        lab.progress("once more at the destination")
        replugged(tour)
        lab.end_tour()
