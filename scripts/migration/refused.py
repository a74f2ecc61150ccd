# SPDX-License-Identifier: GPL-2.0-only
"""Kinds of migration that QEMU has for no VFIO device."""

from typing import Iterator

from . import Failure, LeftOut
from .carry import IDLE, Mode, Move, listen, live, wait_end, wait_running
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, migrate, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

# By capability, what the reason names
KINDS = {"postcopy-ram": "postcopy", "background-snapshot": "background snapshot"}


def host_has(qemu: Qemu, capability: str) -> bool:
    """QEMU takes it only where the host's kernel has userfaultfd."""
    try:
        qemu.set_capabilities(**{capability: True})
    except Failure:
        return False
    qemu.set_capabilities(**{capability: False})
    return True


def reason_of(tour: Tour, result: Result, source: Qemu, uri: str) -> str:
    """Why the migration is refused, by the command or a moment later."""
    try:
        source.qmp.command("migrate", uri=uri)
    except Failure as failure:
        result.status = "failed"
        return str(failure)
    return wait_end(tour, source, result)


def is_refused(words: str) -> Move:
    """The migration fails at once, for a reason with these words.  The guest runs on."""
    def move(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
        source, destination = tour.guest.qemu, tour.destination()
        uri = listen(mode, source, destination)
        timeline.start(tour.guest)
        reason = reason_of(tour, result, source, uri)
        if words not in reason.lower():
            raise Failure(f"QEMU refuses for another reason: {reason}")
        timeline.stay()
        destination.quit()
        wait_running(source)
    return move


def refused(lab: Lab) -> Iterator[Step]:
    """QEMU refuses what it can't do with a VFIO device, and the guest moves afterwards."""
    tour = one_vf_tour(lab, "refused")
    kinds = [kind for kind in KINDS if host_has(tour.guest.qemu, kind)]
    if not kinds:
        raise LeftOut("the kernel has no userfaultfd, without which QEMU refuses for that reason")
    for kind in kinds:
        # Each capability stays set until it is cleared
        mode = Mode(kind, {name: name == kind for name in kinds})
        result, _ = migrate(tour, Result(f"refused, {kind}", expected="failed"),
                            is_refused(KINDS[kind]), mode, IDLE)
        # Nothing has moved that a picture could show
        yield result, None
        if not result.good():
            return
    tour.guest.qemu.set_capabilities(**dict.fromkeys(kinds, False))
    yield migrate(tour, Result("refused, again"), live, PRECOPY)
