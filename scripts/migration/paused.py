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
BANDWIDTH = {"avail-switchover-bandwidth": 1 << 30}
PAUSED = Mode("paused", {"return-path": True}, BANDWIDTH)
# QEMU is not told one.  Even what it measures while it sends guest memory is too little for the
# device's data: 10 MB within the downtime.  All of guest memory is sent after some 4 s.
UNTOLD = Mode("paused", {"return-path": True},
              {"max-bandwidth": 32 << 20, "downtime-limit": 300})


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


def arrive_paused(tour: Tour, mode: Mode, result: Result, timeline: Timeline,
                  destination: Qemu) -> None:
    """The guest continues when it has moved."""
    wait_end(tour, tour.guest.qemu, result)
    if destination.running():
        raise Failure("a guest that was paused runs at the destination")
    destination.qmp.command("cont")
    welcome(tour, mode, result, timeline, destination)


def paused_and_moved(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live(), but the guest is paused from before the migration until after it."""
    source, destination = begin(tour, mode, timeline, paused=True)
    arrive_paused(tour, mode, result, timeline, destination)


def paused_and_waiting(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """The same, but QEMU never regards the device as ready until it is told a bandwidth."""
    source, destination = begin(tour, mode, timeline, paused=True)
    stays_active(source)
    if left := source.migration()["ram"]["remaining"]:
        raise Failure(f"QEMU is busy yet: {left} bytes of guest memory are left")
    source.set_parameters(**BANDWIDTH)
    arrive_paused(tour, mode, result, timeline, destination)


def paused(lab: Lab) -> Iterator[Step]:
    """A guest that continues in PRE_COPY stays.  One that is paused before moves, if QEMU is told
    a bandwidth."""
    tour = one_vf_tour(lab, "paused")
    moves = [("paused in PRE_COPY", "cancelled", paused_meanwhile, HELD),
             ("paused, moved", "completed", paused_and_moved, PAUSED)]
    # Without tracking all memory is dirty at each look, so QEMU never runs out of what to send
    tracked = lab.wiring.tracking != "none"
    if tracked:
        moves.append(("paused, waiting", "completed", paused_and_waiting, UNTOLD))
    for name, expected, move, mode in moves:
        step = migrate(tour, Result(name, expected=expected), move, mode, IDLE)
        yield step
        if not step[0].good():
            return
    yield migrate(tour, Result("paused, again"), live, PRECOPY)
    if tracked and len(lab.emulators) > 1:
        newest = lab.emulators[1]
        tour = one_vf_tour(lab, "paused", (newest, newest))
        yield migrate(tour, Result("paused, waiting, newest QEMU"), paused_and_waiting, UNTOLD,
                      IDLE)
