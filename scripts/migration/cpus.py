# SPDX-License-Identifier: GPL-2.0-only
"""A guest with four processors, each with a queue of its own, one of them offline."""

import os
from typing import Iterator

from . import Failure, LeftOut
from .carry import Mode, live
from .combination import Hardware
from .guest import Disk, Guest
from .result import Result
from .step import PRECOPY, Step, migrate, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

CPUS = 4
# Offset and size in MiB; carry_over() does not use this region
REGION = (56, 1)


def check_host() -> None:
    """A processor of the guest that waits for another one spins.  If all of them share one
    emulated CPU, it spins until that one has its turn, and the guest hardly gets on."""
    # Qemu keeps a guest off CPU 0 of those
    cpus = len(os.sched_getaffinity(0) - {0})
    if os.environ.get("VFMIG_ACCEL") == "tcg" and cpus < CPUS:
        raise LeftOut(f"{CPUS} processors need {CPUS} emulated CPUs besides CPU 0, and there "
                      f"are {cpus}")


def interrupts(guest: Guest, disk: Disk) -> list[int]:
    """The number of interrupts of each processor's queue."""
    rows = [line.split() for line in guest.output("cat /proc/interrupts").splitlines()]
    queues = [f"{disk.name.removesuffix('n1')}q{1 + cpu}" for cpu in range(CPUS)]
    counts = {row[-1]: sum(int(field) for field in row[1:1 + CPUS]) for row in rows
              if row[-1] in queues}
    if len(counts) != CPUS:
        raise Failure(f"of the queues {', '.join(queues)} there are {', '.join(counts)}")
    return [counts[queue] for queue in queues]


def online(guest: Guest, cpu: int, value: int) -> None:
    guest.output(f"echo {value} >/sys/devices/system/cpu/cpu{cpu}/online")


def one_offline(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live(), with the last processor offline.  Then all processors do I/O."""
    guest, disk = tour.guest, tour.disks[0]
    online(guest, CPUS - 1, 0)
    live(tour, mode, result, timeline)
    online(guest, CPUS - 1, 1)
    before = interrupts(guest, disk)
    for cpu in range(CPUS):
        if disk.write(*REGION, tour.seed + cpu, cpu=cpu).errors:
            raise Failure(f"processor {cpu} reads other blocks than it wrote")
    after = interrupts(guest, disk)
    if idle := [cpu for cpu in range(CPUS) if after[cpu] == before[cpu]]:
        raise Failure(f"the queues of processors {idle} had no interrupt")


def vcpus(lab: Lab) -> Iterator[Step]:
    """A guest with four processors moves while one is offline."""
    check_host()
    tour = one_vf_tour(lab, "vcpus", hardware=Hardware(cpus=CPUS))
    yield migrate(tour, Result("vcpus"), one_offline, PRECOPY)
