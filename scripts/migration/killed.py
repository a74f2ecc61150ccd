# SPDX-License-Identifier: GPL-2.0-only
"""QEMU processes that are killed in a migration."""

import time
from contextlib import closing
from typing import Callable, Iterator

from . import Failure, GuestLost, patience
from .carry import BEFORE, Mode, begin, live, take_figures, wait_end, wait_running
from .late import STOPPED, Tap, ahead_of
from .qemu import Qemu
from .result import Result
from .step import HELD, PRECOPY, Step, hold, migrate, no_errors, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

TIMEOUT = patience(60)


def destination_in_precopy(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """Kills the destination in PRE_COPY.  The guest stays."""
    source, destination = hold(tour, mode, timeline)
    destination.kill()
    wait_end(tour, source, result)
    timeline.stay()
    take_figures(source, mode, result, timeline)


def destination_at_switchover(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """Kills the destination after the guest has stopped, and before QEMU has read the rest
    of the device's data.  The guest continues at the source."""
    with closing(Tap(tour.guest.qemu, tour.lab.run)) as tap:
        source, destination = begin(tour, mode, timeline)
        with ahead_of(source):
            tap.wait(STOPPED)
            destination.kill()
        wait_end(tour, source, result)
        wait_running(source)
        timeline.stay()
        tap.save()
        take_figures(source, mode, result, timeline)


def source_in_precopy(tour: Tour, name: str) -> Qemu:
    """Kills the source in PRE_COPY, and the guest with it.  Returns the destination."""
    source, destination = hold(tour, HELD, Timeline(name))
    source.kill()
    return destination


def source_at_switchover(tour: Tour, name: str) -> Qemu:
    """The same after the guest has stopped, and before QEMU has read the rest of the device's
    data."""
    with closing(Tap(tour.guest.qemu, tour.lab.run)) as tap:
        source, destination = begin(tour, PRECOPY, Timeline(name))
        with ahead_of(source):
            tap.wait(STOPPED)
            source.kill()
    return destination


def survives(destination: Qemu) -> bool:
    """The source was killed.  Does the destination run the guest?  If not, it must end."""
    deadline = time.monotonic() + TIMEOUT
    while destination.process.poll() is None:
        if time.monotonic() > deadline:
            raise Failure(f"the destination still waits {TIMEOUT} s after the source was killed")
        try:
            if destination.running():
                return True
        except GuestLost:
            raise
        except Failure:
            # It is about to end
            pass
        time.sleep(0.1)
    if destination.process.returncode <= 0:
        raise Failure(f"the destination ended with status {destination.process.returncode}, "
                      "which is no failure")
    return False


def without_source(tour: Tour, name: str, kill: Callable[[Tour, str], Qemu]) -> int:
    """The destination must notice, and end.  Returns the seed of the data on the disk that the
    guest leaves behind."""
    seed = tour.next_seed()
    tour.disks[0].write(*BEFORE, seed, "32k")
    destination = kill(tour, name)
    if survives(destination):
        raise Failure("the destination runs a guest that it does not have all of")
    return seed


def killed(lab: Lab) -> Iterator[Step]:
    """Two destinations and two sources are killed.  New processes use the same VFs afterwards."""
    name = "killed"
    tour = one_vf_tour(lab, name)
    for when, move, mode in (("in PRE_COPY", destination_in_precopy, HELD),
                             ("at switchover", destination_at_switchover, PRECOPY)):
        step = migrate(tour, Result(f"killed {when}", expected="failed"), move, mode)
        yield step
        if not step[0].good():
            return
    for when, kill in (("in PRE_COPY", source_in_precopy),
                       ("at switchover", source_at_switchover)):
        lab.progress(f"killed: the source {when}")
        seed = without_source(tour, name, kill)
        lab.end_tour()
        tour = lab.tour(name, [tour.vfs, tour.other_vfs])
        no_errors(tour.disks[0], seed)
    yield migrate(tour, Result("killed, again"), live, PRECOPY)
