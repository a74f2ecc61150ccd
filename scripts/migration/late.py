# SPDX-License-Identifier: GPL-2.0-only
"""What comes when the guest has stopped for the switchover and the devices have not: QEMU
looks for new initial data once more, some milliseconds later.  So it takes two things to
come in between: to learn at once that the guest stands still, and to be first then.
"""

import os
import select
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Iterator

from . import Failure
from .carry import TIMEOUT, Mode, begin, take_figures, wait_end, wait_running
from .qemu import Qemu
from .result import Result
from .timeline import Timeline
from .tour import Tour

# The first thing that QEMU does when all vCPUs stand still
EVENT = "vm_state_notify"
STOPPED = "vm_state_notify running 0"


class Tap:
    """A QEMU's trace, line by line as it is written.  No QMP event is early enough."""

    def __init__(self, qemu: Qemu, run: Path):
        self._qemu = qemu
        self._lines: list[str] = []
        self._path = run / "tap"
        os.mkfifo(self._path)
        # Nobody waits for the other end to open it
        self._pipe = os.open(self._path, os.O_RDWR)
        self._rest = b""
        qemu.monitor(f"trace-event {EVENT} on")
        qemu.monitor(f"logfile {self._path}")

    def wait(self, text: str) -> None:
        """Reads until there is a line with the text."""
        while select.select([self._pipe], [], [], TIMEOUT)[0]:
            if any(text in line for line in self._read()):
                return
        raise Failure(f"after {TIMEOUT} s {self._qemu.name} has not come to '{text}'")

    def _read(self) -> list[str]:
        *lines, self._rest = (self._rest + os.read(self._pipe, 1 << 16)).split(b"\n")
        self._lines += [line.decode() for line in lines]
        return self._lines[-len(lines):] if lines else []

    def save(self) -> None:
        """Into the file where the trace would be without us."""
        os.set_blocking(self._pipe, False)
        try:
            while True:
                self._read()
        except BlockingIOError:
            pass
        self._qemu.trace.write_text("\n".join(self._lines) + "\n")

    def close(self) -> None:
        """The rest of the trace goes to a file of its own."""
        self._qemu.trace = self._qemu.trace.with_suffix(".after.trace")
        with suppress(Failure):
            self._qemu.monitor(f"logfile {self._qemu.trace}")
        os.close(self._pipe)
        self._path.unlink()


def threads(qemu: Qemu) -> list[int]:
    """None if the process has ended."""
    try:
        return [int(task.name) for task in Path(f"/proc/{qemu.process.pid}/task").iterdir()]
    except FileNotFoundError:
        return []


@contextmanager
def ahead_of(qemu: Qemu) -> Iterator[None]:
    """On one processor with all of QEMU's threads, and with priority over them: what one of
    them writes is read at once, and it goes no further before we wait for more."""
    ours = os.sched_getaffinity(0)
    theirs: dict[int, set[int]] = {}
    # Not the first, where the guest's may not run (Qemu says why)
    one = {max(ours)}
    for thread in threads(qemu):
        # Some come and go
        with suppress(ProcessLookupError):
            theirs[thread] = os.sched_getaffinity(thread)
            os.sched_setaffinity(thread, one)
    os.sched_setaffinity(0, one)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, ours)
        for thread in threads(qemu):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, theirs.get(thread, ours))


def reinit(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live(), but the administrator resizes the medium when the guest has stopped: new
    initial data, which the destination has not acknowledged and no longer can.  The
    migration fails, and the guest goes on where it is."""
    with closing(Tap(tour.guest.qemu, tour.lab.run)) as tap:
        source, destination = begin(tour, mode, timeline)
        with ahead_of(source):
            tap.wait(STOPPED)
            source.vfs[0].resize(tour.lab.media_mb + 1)
        reason = wait_end(tour, source, result)
        wait_running(source)
        timeline.stay()
        tap.save()
        take_figures(source, mode, result, timeline)
    destination.quit()
    # QEMU has no better name for it
    if "switchover ack" not in reason.lower():
        raise Failure(f"the migration failed for another reason: {reason}")
