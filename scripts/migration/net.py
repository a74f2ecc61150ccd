# SPDX-License-Identifier: GPL-2.0-only
"""Guests with a NIC, which talk to a peer on the host's bridge all the time."""

import os
from typing import Callable, Iterator, Optional

from . import Failure, LeftOut
from .carry import MEDIA_MB, Load, Mode, live
from .combination import Emulator, Wiring, wirings
from .guest import Guest
from .killed import destination_at_switchover
from .result import Result
from .step import PRECOPY, Step, migrate
from .timeline import Timeline
from .tour import Lab, Tour
from .traffic import TrafficLoad

QUEUE_PAIRS = 4
# So many streams that each queue very likely has one, which its hash decides
MANY = TrafficLoad(48, 8 << 10)

# A guest without a disk
TRAFFIC = Load("traffic", (0, 0))
MANY_STREAMS = Load(f"traffic, {MANY.streams} streams", (0, 0), traffic=MANY)
FLOOD = Load("traffic, full speed", (0, 0), traffic=TrafficLoad(4, 0))
# What it dirties in guest memory is sent in so many milliseconds
PATIENT = Mode("precopy", PRECOPY.capabilities, {"downtime-limit": 5000})
# With one, which leaves the guest's processor time for the NIC
BOTH = Load("100 writes/s, traffic", rate=100)


def nic_tour(lab: Lab, scenario: str, queue_pairs: int = 1,
             emulators: Optional[tuple[Emulator, Emulator]] = None,
             wiring: Optional[Wiring] = None) -> Tour:
    lab.set_nics(2, queue_pairs)
    return lab.tour(scenario, [[lab.nics[0]], [lab.nics[1]]], emulators, wiring)


def net_vf(lab: Lab) -> Iterator[Step]:
    """A guest with a NIC and no disk."""
    yield migrate(nic_tour(lab, "net-vf"), Result("net-vf"), live, PRECOPY, TRAFFIC)


def interrupts(guest: Guest) -> dict[str, int]:
    """The number of interrupts of each queue of the guest's NIC."""
    lines = guest.output("grep -E 'virtio[0-9]+-(in|out)put' /proc/interrupts").splitlines()
    return {fields[-1]: int(fields[1]) for fields in map(str.split, lines)}


def all_queues(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live().  Then the guest uses all queues."""
    live(tour, mode, result, timeline)
    before = interrupts(tour.guest)
    for traffic in tour.traffics:
        traffic.goes_on()
    after = interrupts(tour.guest)
    idle = [name for name, count in after.items() if count == before[name]]
    used = [name for name in after if name not in idle]
    if len(used) < 2 * QUEUE_PAIRS:
        raise Failure(f"only the queues {', '.join(used)} had an interrupt")


def net_queues4(lab: Lab) -> Iterator[Step]:
    """The same with four queue pairs."""
    tour = nic_tour(lab, "net-queues4", QUEUE_PAIRS)
    yield migrate(tour, Result("net-queues4"), all_queues, PRECOPY, MANY_STREAMS)


def net_and_nvme(lab: Lab) -> Iterator[Step]:
    """A guest with a disk and a NIC, from PFs of different models.  QEMU takes both through
    the P2P states together."""
    name = "net-and-nvme"
    lab.set_vfs(4, MEDIA_MB)
    lab.set_nics(2, 1, packed=False)
    tour = lab.tour(name, [[lab.vfs[0], lab.nics[0]], [lab.vfs[1], lab.nics[1]]])
    yield migrate(tour, Result(name), live, PRECOPY, BOTH)


def net_flood(lab: Lab) -> Iterator[Step]:
    """As net-vf, with rings that are full."""
    yield migrate(nic_tour(lab, "net-flood"), Result("net-flood"), live, PATIENT, FLOOD)


def net_killed(lab: Lab) -> Iterator[Step]:
    """The destination is killed when the guest has stopped.  Its connections continue at the
    source, and when it moves to a new destination."""
    tour = nic_tour(lab, "net-killed")
    step = migrate(tour, Result("net-killed", expected="failed"), destination_at_switchover,
                   PRECOPY, TRAFFIC)
    yield step
    if step[0].good():
        yield migrate(tour, Result("net-killed, again"), live, PRECOPY, TRAFFIC)


def net_across(wiring: Wiring) -> Callable[[Lab], Iterator[Step]]:
    """As net-vf, from the first kind of QEMU to the last and back, in one way to wire a VF."""
    def scenario(lab: Lab) -> Iterator[Step]:
        if wiring not in wirings():
            raise LeftOut(f"Linux {os.uname().release} has no IOMMUFD")
        name = f"net-{wiring.name}"
        tour = nic_tour(lab, name, 1, (lab.emulators[0], lab.emulators[-1]), wiring)
        for _ in range(2):
            step = migrate(tour, Result(name), live, PRECOPY, TRAFFIC)
            yield step
            if not step[0].good():
                return
    return scenario
