# SPDX-License-Identifier: GPL-2.0-only
"""A long run on one kernel: a guest goes to and fro, and QEMUs are killed at random moments.

Each round migrates the guest once.  In a third of the rounds the source or the destination is
killed.  Whatever is left then has the guest's data: the guest at the source, the guest at the
destination, or a new guest on the VF that the dead one had.  What the rounds leave in the kernel
is compared with what was there after the first few.
"""

import os
import time
from random import Random
from typing import Iterator, Optional

from . import Failure, GuestLost, patience
from .carry import (BEFORE, BUSY, DIRTYING, DURING, Mode, Move, arrive, begin, live, settle, wait_end,
                    wait_running)
from .host import Vf
from .killed import survives
from .leftover import Growth, Snapshot
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, migrate, no_errors, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

NAME = "soak"
TIMEOUT = patience(60)

# Of so many rounds a third kills one of the two
KILLS = (None, None, None, None, "source", "destination")
LOADS = (BUSY, DIRTYING)

# After so many rounds the kernel's caches have what they need
WARM_UP = 4
# What is allowed to grow over all rounds, and by each of them: the page tables and dentries of
# what ran, the emulated clock's timers, files of the journal
ALLOWED = Growth(memory_kib=4096, threads=2, files=64, slab_kib=1024)
# An emulated processor may lose a guest once in so many rounds
LOST_IN = 50


def without_destination(moment: float) -> Move:
    """As live().  Kills the destination after so many seconds, unless that was too late."""
    def move(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
        source, destination = begin(tour, mode, timeline)
        time.sleep(moment)
        if source.migration().get("status") == "completed":
            result.expected = "completed"
            arrive(tour, mode, result, timeline, destination)
            return
        destination.kill()
        wait_end(tour, source, result)
        wait_running(source)
        timeline.stay()
    return move


def wait_connected(source: Qemu) -> None:
    """Waits until the source has called the destination, which would wait for a call for ever."""
    deadline = time.monotonic() + TIMEOUT
    while source.migration().get("status", "none") in ("none", "setup"):
        if time.monotonic() > deadline:
            raise Failure("the migration does not begin")
        time.sleep(0.01)


class Soak:
    """The guest, wherever it is, and what happened to it so far."""

    def __init__(self, lab: Lab):
        self._lab = lab
        self._random = Random(lab.course.seed)
        self._kills: list[Optional[str]] = []
        self._tour: Optional[Tour] = None
        self._sides: list[list[Vf]] = []
        self._seed = 0
        self._rounds = 0
        self._lost = 0
        # How long a migration takes that nobody disturbs, in seconds
        self._usual = 1.0
        self._begin = time.monotonic()
        lab.progress(f"{NAME}: seed {lab.course.seed}")

    def over(self) -> bool:
        course = self._lab.course
        if course.hours:
            return time.monotonic() - self._begin > course.hours * 3600
        return self._rounds >= course.rounds

    @property
    def rounds(self) -> int:
        return self._rounds

    def _guest(self) -> Tour:
        """The guest, or a new one.  A new one goes on with other seeds than the old one had."""
        if not self._tour:
            self._tour = (self._lab.tour(NAME, self._sides) if self._sides
                          else one_vf_tour(self._lab, NAME))
            self._tour.seed = self._seed
        return self._tour

    def rest(self) -> None:
        """Ends the guest, which is at its side's VF."""
        if self._tour:
            self._leave(self._tour.vfs)

    def _leave(self, vfs: list[Vf]) -> None:
        """The guest is gone.  Its data is on these VFs: the next guest boots from them."""
        tour = self._tour
        assert tour
        self._seed = tour.seed
        other = tour.other_vfs if vfs is tour.vfs else tour.vfs
        self._sides = [vfs, other]
        self._lab.end_tour()
        self._tour = None

    def _reborn(self, vfs: list[Vf], seed: int) -> None:
        """A new guest finds what the dead one wrote."""
        self._leave(vfs)
        no_errors(self._guest().disks[0], seed)

    def _source_killed(self, moment: float) -> None:
        """One round.  Either the guest has moved already, or it is lost and its data is not."""
        tour = self._guest()
        disk, seed = tour.disks[0], tour.next_seed()
        disk.write(*BEFORE, seed, "32k")
        disk.start_loop(*DURING, seed)
        timeline = Timeline(NAME)
        source, destination = begin(tour, PRECOPY, timeline)
        wait_connected(source)
        time.sleep(moment)
        source.kill()
        if not survives(destination):
            self._reborn(tour.vfs, seed)
            return
        self._lab.progress(f"{NAME}: the guest had moved")
        settle(tour, timeline, destination)
        disk.stop_loop()
        if disk.loop_result().errors:
            raise Failure("the guest that had moved reads wrong data")
        no_errors(disk, seed)

    def _migrated(self, kill: Optional[str], moment: float) -> Iterator[Step]:
        tour = self._guest()
        if kill:
            result = Result(f"{NAME}, {kill} killed", expected="failed")
            move = without_destination(moment)
        else:
            result, move = Result(NAME), live
        step = migrate(tour, result, move, PRECOPY, self._random.choice(LOADS))
        if kill and result.expected == "failed" and result.status == "completed":
            self._lab.progress(f"{NAME}: the guest had moved, and is lost")
            self._reborn(tour.other_vfs, tour.seed)
            return
        if result.good() and not kill:
            self._usual = (self._usual + result.total_ms / 1e3) / 2
        yield step
        if not result.good():
            raise Failure(f"round {self._rounds} of seed {self._lab.course.seed} went wrong")

    def _next_kill(self) -> Optional[str]:
        """Those of KILLS in any order, then again."""
        if not self._kills:
            self._kills = self._random.sample(KILLS, len(KILLS))
        return self._kills.pop()

    def round(self) -> Iterator[Step]:
        """One migration, or the attempt."""
        self._rounds += 1
        kill = self._next_kill()
        # At the end of it is the switchover
        moment = self._random.uniform(0, 1.1) * self._usual
        self._lab.progress(f"{NAME}: round {self._rounds}"
                           + (f", the {kill} is killed after {moment:.2f} s" if kill else ""))
        try:
            if kill == "source":
                self._source_killed(moment)
            else:
                yield from self._migrated(kill, moment)
        except GuestLost as lost:
            self._lost += 1
            if (os.environ.get("VFMIG_ACCEL") != "tcg"
                    or self._lost > 1 + self._rounds // LOST_IN):
                raise
            self._lab.progress(f"{NAME}: the guest was lost: {lost}")
            self._lab.lost_guests.append(NAME)
            if self._tour:
                self._seed = self._tour.seed
            self._lab.end_tour()
            self._tour = None


def soak(lab: Lab) -> Iterator[Step]:
    """Rounds until the time is over, and nothing is left of them."""
    course = Soak(lab)
    before: Optional[Snapshot] = None
    while not course.over():
        yield from course.round()
        if course.rounds == WARM_UP:
            course.rest()
            before = Snapshot()
            lab.progress(f"{NAME}: {before.figures()}")
    course.rest()
    if not before:
        lab.progress(f"{NAME}: {WARM_UP} rounds or fewer say nothing of what is left")
        return
    after = Snapshot()
    lab.progress(f"{NAME}: {after.figures()}, after {course.rounds} rounds")
    lab.progress(f"{NAME}: {after.growth(before)}")
    if left := list(after.left_since(before, ALLOWED)):
        raise Failure(f"left behind by {course.rounds - WARM_UP} rounds: {'; '.join(left)}")
