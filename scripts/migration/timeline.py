# SPDX-License-Identifier: GPL-2.0-only
"""What one migration leaves for its picture: the traces of both QEMUs, when the guest
stopped and ran again, and how much I/O it had done when.
"""

import bisect
import time
from itertools import pairwise
from typing import Optional

from .guest import Guest
from .trace import Trace

# Seconds shown before the migration and after it
LEAD = 1.5
TAIL = 2.5
# Steps of the guest's I/O
STEPS = 120


class Timeline:
    """One migration; all times are seconds of the host's clock."""

    def __init__(self, title: str):
        self.title = title
        self.begin = 0.0
        self.end = 0.0
        self.source: Optional[Trace] = None
        self.destination: Optional[Trace] = None
        self.stopped: Optional[float] = None
        self.resumed: Optional[float] = None
        # How much I/O the guest had done when
        self.count: list[tuple[float, float]] = []
        self._clocks: list[float] = []

    def start(self, guest: Guest) -> None:
        """The migration begins."""
        self._clocks.append(guest.clock())
        self.begin = time.time()

    def leave(self, source: Trace) -> None:
        """The source has done its part."""
        self.source = source
        self.stopped = source.stopped

    def arrive(self, guest: Guest) -> None:
        """The guest runs at the destination."""
        self.end = time.time()
        self.destination = Trace(guest.qemu.trace, 0)
        self.resumed = self.destination.resumed
        self._clocks.append(guest.clock())

    def stay(self) -> None:
        """The migration ended and the guest has not moved."""
        self.end = time.time()

    def finish(self, samples: list[tuple[float, int]]) -> None:
        """Takes what Sampler.stop() returned.  The guest's clock knows nothing of the
        downtime, so what came after it has an offset of its own."""
        for uptime, count in samples:
            when = uptime + self._clocks[0]
            if self.stopped and self.resumed and when > self.stopped:
                when = max(uptime + self._clocks[-1], self.resumed)
            self._take(when, count)

    def _take(self, when: float, count: float) -> None:
        """A sample; none of the I/O since the one before was in the downtime."""
        if self.count and when <= self.count[-1][0]:
            return
        if self.count and self.stopped and self.resumed and self.count[-1][0] < self.stopped < when:
            since, before = self.count[-1]
            running = self.stopped - since + when - self.resumed
            done = before + (count - before) * (self.stopped - since) / running
            self.count += [(self.stopped, done), (self.resumed, done)]
        self.count.append((when, count))

    def _count_at(self, when: float) -> float:
        """Between two samples it is taken to have grown evenly."""
        after = bisect.bisect_left(self.count, (when, 0.0))
        if after in (0, len(self.count)):
            return self.count[min(after, len(self.count) - 1)][1]
        (since, before), (until, count) = self.count[after - 1:after + 1]
        return before + (count - before) * (when - since) / (until - since)

    def iops(self) -> list[tuple[float, float]]:
        """The guest's I/O per second up to each time, in STEPS steps."""
        if not self.count:
            return []
        begin, end = self.window()
        edges = {self.begin + begin + (end - begin) * step / STEPS for step in range(STEPS + 1)}
        edges |= {edge for edge in (self.stopped, self.resumed) if edge and self.resumed}
        rows = []
        for since, until in pairwise(sorted(edges)):
            rate = (self._count_at(until) - self._count_at(since)) / (until - since)
            rows.append((until, rate))
        return rows

    def window(self) -> tuple[float, float]:
        return -LEAD, max(self.end, self.resumed or 0) - self.begin + TAIL
