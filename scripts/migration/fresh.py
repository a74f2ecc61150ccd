# SPDX-License-Identifier: GPL-2.0-only
"""A medium that is empty when the migration begins.  QEMU asks for the size of the device's
data once, at the beginning, and makes no larger reads afterwards.
"""

from typing import Iterator

from . import Failure
from .carry import BEFORE, IDLE, MEMORY, Load, arrive, begin, describe, live, note_guest
from .guest import Memory
from .result import Result
from .step import HELD, PRECOPY, Step, attempt, let_go, migrate
from .timeline import Timeline
from .tour import Lab, Tour

MEDIUM_MB = 512
# What carry_over() doesn't use
FILLED = (64, 256)
FILL_SEED = 0x5eed
# Limit of the reads per MiB, relative to a medium that was full before
MAX_RATIO = 2

LOAD = Load(f"{FILLED[1]} MiB, once")


def fill_meanwhile(tour: Tour, result: Result) -> Timeline:
    """As carry_over() with live(), but the guest writes after the migration has begun."""
    disk, seed = tour.disks[0], tour.next_seed()
    timeline = describe(tour, HELD, LOAD, result)
    source, destination = begin(tour, HELD, timeline)
    tour.lab.progress(f"{result.scenario}: guest writes {FILLED[1]} MiB")
    disk.fill(*FILLED, FILL_SEED)
    io = disk.write(*BEFORE, seed, "32k")
    memory = Memory(disk, *MEMORY, seed, 0)
    if source.migration()["status"] != "active":
        raise Failure("the migration was over before the medium was full")
    let_go(source)
    arrive(tour, HELD, result, timeline, destination)
    in_memory = memory.stop()
    io += disk.verify(*FILLED, FILL_SEED, "1m")
    note_guest(tour.guest, io, in_memory, result)
    return timeline


def reads_per_mib(step: Step) -> float:
    result, timeline = step
    assert timeline and timeline.source
    return timeline.source.reads / (result.device_bytes / 2**20)


def fresh_vf(lab: Lab) -> Iterator[Step]:
    """An empty medium that is filled in PRE_COPY needs about as many reads as a full one."""
    name = "fresh-vf"
    # Existing VFs may have been written
    lab.discard_vfs()
    lab.set_vfs(2, MEDIUM_MB)
    tour = lab.tour(name, [[lab.vfs[0]], [lab.vfs[1]]])
    result = Result(f"{name}, empty")
    empty = attempt(tour, result, lambda: fill_meanwhile(tour, result))
    yield empty
    if not result.good():
        return
    full = migrate(tour, Result(f"{name}, full"), live, PRECOPY, IDLE)
    yield full
    if not full[0].good():
        return
    ratio = reads_per_mib(empty) / reads_per_mib(full)
    lab.progress(f"{name}: {reads_per_mib(empty):.2f} reads per MiB, and "
                 f"{reads_per_mib(full):.2f} of a medium that was full before")
    if ratio > MAX_RATIO:
        raise Failure(f"a medium that was empty took {ratio:.1f} times as many reads per MiB")
