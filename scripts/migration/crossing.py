# SPDX-License-Identifier: GPL-2.0-only
"""Two guests that migrate at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Iterator

from . import Failure, patience
from .carry import MEDIA_MB, Mode, live
from .combination import Combination
from .result import Result
from .step import PRECOPY, Step, migrate
from .timeline import Timeline
from .tour import Lab, Tour

# One guest may need so much longer than the other to prepare its I/O
TIMEOUT = patience(120)


def crossing(lab: Lab) -> Iterator[Step]:
    """Two guests move at the same time, in opposite directions of the PF's list of VFs."""
    name = "crossing"
    lab.set_vfs(4, MEDIA_MB)
    lab.end_tour()
    first, second, third, fourth = lab.vfs
    combination = Combination((lab.emulators[0], lab.emulators[0]), lab.wiring)
    ready = threading.Barrier(2)

    def together(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
        try:
            ready.wait(TIMEOUT)
        except threading.BrokenBarrierError as error:
            raise Failure("the other guest does not get ready") from error
        live(tour, mode, result, timeline)

    with ExitStack() as stack:
        tours = []
        for sides in ([[first], [third]], [[fourth], [second]]):
            tours.append(Tour(lab, name, sides, combination))
            stack.callback(tours[-1].end)
        results = [Result(f"{name}, {way}") for way in ("up", "down")]
        with ThreadPoolExecutor(len(tours)) as pool:
            steps = list(pool.map(
                lambda tour, result: migrate(tour, result, together, PRECOPY), tours, results))
    yield from steps
    times = [(timeline.begin, timeline.stopped) for _, timeline in steps if timeline]
    if len(times) == 2 and max(begin for begin, _ in times) > min(end or 0 for _, end in times):
        raise Failure("the second migration began when the first was over")
