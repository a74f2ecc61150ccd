# SPDX-License-Identifier: GPL-2.0-only
"""Guests that are paused, before a migration or during it: Documentation/qemu.rst says more."""

import time
from typing import Iterator

from . import Failure, patience
from .carry import IDLE, Mode, begin, live, wait_end, wait_running, welcome
from .qemu import Qemu
from .result import Result
from .step import HELD, PRECOPY, Step, hold, let_go, migrate, one_vf_tour
from .timeline import Timeline
from .trace import Trace
from .tour import Lab, Tour

# So long a migration stays active that has nothing to wait for but the acknowledgment
LONG = patience(10)

# While a guest is paused next to nothing is sent.  So QEMU measures next to no bandwidth.
PAUSED = Mode("paused", {"return-path": True}, {"avail-switchover-bandwidth": 1 << 30})


def stays_active(source: Qemu) -> None:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        if (status := source.migration()["status"]) not in ("setup", "active"):
            raise Failure(f"the migration is {status}, and Documentation/qemu.rst says that it "
                          "waits for ever")
        time.sleep(0.5)


def give_up(tour: Tour, result: Result, timeline: Timeline, source: Qemu,
            destination: Qemu) -> None:
    """The way out: calls the migration off, and lets the guest continue."""
    source.qmp.command("migrate_cancel")
    wait_end(tour, source, result)
    if not source.running():
        source.qmp.command("cont")
    wait_running(source)
    timeline.leave(Trace(source.trace, timeline.begin))
    timeline.stay()
    destination.quit()


def paused_meanwhile(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """The guest is stopped and continued in PRE_COPY."""
    source, destination = hold(tour, mode, timeline)
    source.qmp.command("stop")
    source.qmp.command("cont")
    let_go(source)
    stays_active(source)
    give_up(tour, result, timeline, source, destination)


def paused_and_moved(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live(), but the guest is paused from before the migration until after it."""
    source, destination = begin(tour, mode, timeline, paused=True)
    wait_end(tour, source, result)
    if destination.running():
        raise Failure("a guest that was paused runs at the destination")
    destination.qmp.command("cont")
    welcome(tour, mode, result, timeline, destination)


def paused(lab: Lab) -> Iterator[Step]:
    """A guest that continues in PRE_COPY stays.  One that is paused before moves."""
    tour = one_vf_tour(lab, "paused")
    for name, expected, move, mode in (
            ("paused in PRE_COPY", "cancelled", paused_meanwhile, HELD),
            ("paused, moved", "completed", paused_and_moved, PAUSED)):
        step = migrate(tour, Result(name, expected=expected), move, mode, IDLE)
        yield step
        if not step[0].good():
            return
    yield migrate(tour, Result("paused, again"), live, PRECOPY)
