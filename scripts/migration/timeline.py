# SPDX-License-Identifier: GPL-2.0-only
"""What one migration leaves for its picture: the traces of both QEMUs, when the guest
stopped and ran again, how much I/O it had done when, and what its NICs had carried.
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


class Counter:
    """Something that grows: times, and what it was then."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    def add(self, when: float, count: float) -> None:
        """Only what is later than the last one."""
        if not self.samples or when > self.samples[-1][0]:
            self.samples.append((when, count))

    def _at(self, when: float) -> float:
        """Between two samples it is taken to have grown evenly."""
        after = bisect.bisect_left(self.samples, (when, 0.0))
        if after in (0, len(self.samples)):
            return self.samples[min(after, len(self.samples) - 1)][1]
        (since, before), (until, count) = self.samples[after - 1:after + 1]
        return before + (count - before) * (when - since) / (until - since)

    def rates(self, edges: list[float]) -> list[tuple[float, float]]:
        """How much it grew per second up to each of these times but the first."""
        if not self.samples:
            return []
        return [(until, (self._at(until) - self._at(since)) / (until - since))
                for since, until in pairwise(edges)]


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
        # I/O that the guest had done, bytes that its NICs had carried, and pings that it had
        # replied to
        self.io = Counter()
        self.to_guest = Counter()
        self.from_guest = Counter()
        self.replies = Counter()
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
        last = self.io.samples[-1] if self.io.samples else None
        if last and self.stopped and self.resumed and last[0] < self.stopped < when:
            since, before = last
            running = self.stopped - since + when - self.resumed
            done = before + (count - before) * (self.stopped - since) / running
            self.io.add(self.stopped, done)
            self.io.add(self.resumed, done)
        self.io.add(when, count)

    def take_traffic(self, samples: list[tuple[float, list[int]]], replies: list[float]) -> None:
        """Takes what Traffic has of one NIC, on the host's clock."""
        for when, counts in samples:
            self.from_guest.add(when, sum(counts[::2]))
            self.to_guest.add(when, sum(counts[1::2]))
        for number, when in enumerate(replies):
            self.replies.add(when, number)

    def per_second(self, counter: Counter) -> list[tuple[float, float]]:
        """The rate of a counter up to each time of the picture, in STEPS steps."""
        begin, end = self.window()
        edges = {self.begin + begin + (end - begin) * step / STEPS for step in range(STEPS + 1)}
        edges |= {edge for edge in (self.stopped, self.resumed) if edge and self.resumed}
        return counter.rates(sorted(edges))

    def window(self) -> tuple[float, float]:
        return -LEAD, max(self.end, self.resumed or 0) - self.begin + TAIL
