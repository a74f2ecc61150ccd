# SPDX-License-Identifier: GPL-2.0-only
"""One migration of a scenario."""

from typing import Callable, Optional

from . import Failure, GuestLost
from .carry import (BEFORE, BUSY, MEDIA_MB, PARAMETERS, Load, Mode, Move, begin, carry_over,
                    wait_moving)
from .combination import PLAIN, Emulator, Hardware, Wiring
from .guest import Disk
from .qemu import Qemu
from .result import Result
from .timeline import Timeline
from .tour import Lab, Tour

# The guest can only stop when the destination has seen all initial data of the device.
# What is dirty then is little: the limit is an ordinary one.
PRECOPY = Mode("precopy", {"return-path": True, "switchover-ack": True})
# Stays in PRE_COPY until let_go().  No guest meets this limit.
HELD = Mode("precopy", PRECOPY.capabilities, {"max-bandwidth": 2 << 20, "downtime-limit": 1})
# PRE_COPY is under way when so much of the device's data has been read
MOVED_MB = 2

Step = tuple[Result, Optional[Timeline]]


def attempt(tour: Tour, result: Result, carry: Callable[[], Timeline]) -> Step:
    """One migration.  A guest that something went wrong with doesn't go on."""
    source, before = tour.guest.qemu.name, len(tour.qemus)
    try:
        return result, carry()
    except GuestLost:
        tour.lab.end_tour()
        raise
    except Failure as failure:
        if result.status in ("not run", result.expected):
            result.status = "failed"
        result.error = str(failure)
        tour.lab.end_tour()
        return result, None
    finally:
        result.qemus = result.qemus or [source, *tour.qemus[before:]]


def migrate(tour: Tour, result: Result, move: Move, mode: Mode, load: Load = BUSY) -> Step:
    """A migration under verified I/O."""
    return attempt(tour, result, lambda: carry_over(tour, move, mode, load, result))


def hold(tour: Tour, mode: Mode, timeline: Timeline) -> tuple[Qemu, Qemu]:
    """Begins a migration in the mode HELD, and waits until QEMU reads the device's data."""
    source, destination = begin(tour, mode, timeline)
    wait_moving(source, MOVED_MB)
    return source, destination


def let_go(source: Qemu) -> None:
    """Lets a migration complete that was HELD."""
    source.set_parameters(**PARAMETERS)


def one_vf_tour(lab: Lab, scenario: str, emulators: Optional[tuple[Emulator, Emulator]] = None,
                wiring: Optional[Wiring] = None, hardware: Hardware = PLAIN) -> Tour:
    lab.set_vfs(4, MEDIA_MB)
    return lab.tour(scenario, [[lab.vfs[0]], [lab.vfs[1]]], emulators, wiring, hardware)


def no_errors(disk: Disk, seed: int, region: tuple[int, int] = BEFORE, block: str = "32k") -> None:
    """Verifies data that was written with the same arguments; raises Failure on an error."""
    found = disk.verify(*region, seed, block)
    if found.errors or not found.read:
        raise Failure(f"{disk.device} has {found.errors} wrong blocks in {found.read} bytes")
