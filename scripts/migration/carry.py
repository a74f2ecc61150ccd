# SPDX-License-Identifier: GPL-2.0-only
"""A migration under verified I/O: the one road for all scenarios.

carry_over() keeps the guest's disks busy and verifies them before, during and after;
a Move in between says where the guest goes and a Mode how QEMU takes it there.
"""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Protocol, Sequence

from . import Failure, patience
from .guest import Disk, Guest, Memory, Sampler, Verified
from .qemu import Qemu
from .result import Result
from .timeline import TAIL, Timeline
from .tour import Tour
from .trace import Trace
from .traffic import Carried, Pings, TrafficLoad

# Regions of a disk in MiB: offset and size
BEFORE = (0, 16)
DURING = (16, 2)
MEMORY = (32, 4)
AFTER = (48, 4)
MEDIA_MB = 64

TIMEOUT = patience(300)

VFMIGCTL = Path(__file__).resolve().parents[2] / "tools" / "vfmig" / "vfmigctl"

CAPABILITIES = {"events": True, "return-path": False, "switchover-ack": False, "multifd": False}
# Blocks per second that the guest reads into memory.  It takes 8 s until one is replaced,
# more than the guest is told after that it has moved.
MEMORY_RATE = 96

# What a ping's gap may be longer than the time that the guest was stopped.  A bridge that nobody
# told where the guest is forwards to the wrong port for 300 s.
GAP_SLACK = patience(10)

# Of the bandwidth, 0 is all there is
PARAMETERS = {"max-bandwidth": 0, "avail-switchover-bandwidth": 0, "downtime-limit": 1000}


@dataclass
class Mode:
    """How QEMU migrates: what differs from the capabilities and parameters above."""
    name: str
    capabilities: dict[str, bool] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def apply(self, qemu: Qemu) -> None:
        """Both sides must be told, and before the destination begins to listen."""
        qemu.set_capabilities(**{**CAPABILITIES, **self.capabilities})
        qemu.set_parameters(**{**PARAMETERS, **self.parameters})


@dataclass
class Load:
    """What the guest does on DURING all the time: nothing, or writes and verifies, at so
    many writes per second or as fast as it can."""
    name: str
    region: tuple[int, int] = DURING
    rate: int = 0
    # Of each NIC, always
    traffic: TrafficLoad = field(default_factory=TrafficLoad)


IDLE = Load("idle", (0, 0))
BUSY = Load("full speed")
DIRTYING = Load("300 writes/s", rate=300)

class Work:
    """What the guest's disks do while the guest moves, all of it verified."""

    def __init__(self, disks: list[Disk], load: Load, seed: int):
        self._disks, self._load, self._seed = disks, load, seed
        self._total = Verified()
        for disk in disks:
            self._total += disk.write(*BEFORE, seed, "32k")
            if load.region[1]:
                disk.start_loop(*load.region, seed, load.rate)
        if load.region[1]:
            for disk in disks:
                disk.busy()
        rate = MEMORY_RATE if load.region[1] else 0
        self._memories = [Memory(disk, *MEMORY, seed, rate) for disk in disks]

    def hurry(self) -> None:
        """The limit of the load has served its purpose: what is left goes as fast as it can."""
        if self._load.rate:
            for disk in self._disks:
                disk.hurry()

    def memory(self) -> Verified:
        """Of the guest's memory.  To be called soon after the guest has moved."""
        return sum((memory.stop() for memory in self._memories), Verified())

    def end(self) -> Verified:
        """Ends the I/O; what was verified of the disks."""
        disks, load = self._disks, self._load
        if load.region[1]:
            # The pass that was under way when the guest moved; loop_result() waits for one more
            passes = [disk.passes() for disk in disks]
            for disk, number in zip(disks, passes):
                disk.wait_pass(number + 1)
            for disk in disks:
                disk.stop_loop()
        for disk in disks:
            if load.region[1]:
                self._total += disk.loop_result()
            self._total += disk.verify(*BEFORE, self._seed, "32k")
            self._total += disk.write(*AFTER, self._seed + 1)
        return self._total


# Takes the guest away, or tries to: fills in the result
Move = Callable[[Tour, Mode, Result, Timeline], None]


def wait_end(tour: Tour, source: Qemu, result: Result) -> str:
    """Follows a migration until it ends, well or not, and notes its figures.  Returns
    the reason, if it failed as was expected."""
    deadline = time.monotonic() + TIMEOUT
    last = ""
    while True:
        state = source.migration()
        result.status = state.get("status", "none")
        if result.status != last:
            tour.lab.progress(f"migration {result.status}")
            last = result.status
        if result.status in ("completed", "failed", "cancelled"):
            break
        if time.monotonic() > deadline:
            raise Failure(f"the migration is still {result.status} after {TIMEOUT} s")
        time.sleep(0.1)
    result.downtime_ms = state.get("downtime", 0)
    result.total_ms = state.get("total-time", 0)
    result.device_bytes = state.get("vfio", {}).get("transferred", 0)
    if result.status != result.expected:
        raise Failure(f"migration {result.status}: "
                      f"{state.get('error-desc') or source.log_tail()}")
    return state.get("error-desc", "")


def wait_running(qemu: Qemu) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not qemu.running():
        if time.monotonic() > deadline:
            raise Failure(f"the guest does not run in {qemu.name}: {qemu.log_tail()}")
        time.sleep(0.1)


def take_figures(source: Qemu, mode: Mode, result: Result, timeline: Timeline) -> None:
    """What the source's traces say, and whether it went as the mode has it."""
    trace = Trace(source.trace, timeline.begin)
    if not trace.devices:
        raise Failure(f"{source.trace.name} says nothing of the migration")
    timeline.leave(trace)
    result.precopy_bytes = trace.precopy_bytes
    # QEMU forgets the sum when it is called off.  Multifd's reads are in the sum alone.
    result.device_bytes = result.device_bytes or trace.precopy_bytes
    result.stopcopy_bytes = result.device_bytes - trace.precopy_bytes
    result.iterations = trace.iterations
    result.device_downtime_ms = trace.device_downtime_ms
    result.dma_dirty_pages = trace.dma_dirty_pages
    if trace.tracking != result.dirty_tracking:
        raise Failure(f"dirty tracking was to be {result.dirty_tracking} "
                      f"and is {trace.tracking}")
    # Where there is I/O there are completions; who tracks nothing asks when the guest stops
    if (result.status == "completed" and result.guest_io != IDLE.name
            and not trace.dma_dirty_pages):
        raise Failure("QEMU was told of no page that the device wrote")
    if mode.capabilities.get("switchover-ack") and trace.initial_at_stop:
        raise Failure(f"the guest stopped with {trace.initial_at_stop} initial bytes unread")
    if mode.capabilities.get("multifd") and result.status == "completed" and not trace.multifd:
        raise Failure("the STOP_COPY data did not go over multifd's channels")
    if mode.capabilities.get("switchover-ack") and not trace.precopy_bytes:
        raise Failure("nothing came over the main channel while the guest ran")


def listen(mode: Mode, source: Qemu, destination: Qemu) -> str:
    """Has the destination wait for a migration in this mode; returns the URI for the source."""
    for qemu in (source, destination):
        mode.apply(qemu)
    return destination.listen()


def begin(tour: Tour, mode: Mode, timeline: Timeline, paused: bool = False) -> tuple[Qemu, Qemu]:
    """A migration over TCP that is then watched; returns source and destination.  The guest
    may be paused first."""
    destination = tour.destination()
    source = tour.guest.qemu
    uri = listen(mode, source, destination)
    timeline.start(tour.guest)
    if paused:
        source.qmp.command("stop")
    source.qmp.command("migrate", uri=uri)
    return source, destination


def hand_over(tour: Tour, mode: Mode, result: Result, timeline: Timeline, source: Qemu,
              destination: Qemu) -> None:
    """A migration of a machine without an agent, which then runs at the destination."""
    result.qemus = [source.name, destination.name]
    uri = listen(mode, source, destination)
    timeline.begin = time.time()
    source.qmp.command("migrate", uri=uri)
    wait_end(tour, source, result)
    wait_running(destination)
    take_figures(source, mode, result, timeline)


def settle(tour: Tour, timeline: Timeline, destination: Qemu) -> None:
    """The guest has moved to the destination."""
    tour.guest.move(destination)
    tour.arrived()
    timeline.arrive(tour.guest)


def welcome(tour: Tour, mode: Mode, result: Result, timeline: Timeline, destination: Qemu) -> None:
    """A migration has completed: waits until the guest runs at the destination."""
    source = tour.guest.qemu
    wait_running(destination)
    take_figures(source, mode, result, timeline)
    settle(tour, timeline, destination)
    source.quit()


def arrive(tour: Tour, mode: Mode, result: Result, timeline: Timeline, destination: Qemu) -> None:
    """Waits until a migration completes and the guest runs at the destination."""
    wait_end(tour, tour.guest.qemu, result)
    welcome(tour, mode, result, timeline, destination)


def live(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """Over TCP to another QEMU, where the guest runs afterwards."""
    _, destination = begin(tour, mode, timeline)
    arrive(tour, mode, result, timeline, destination)


def wait_moving(source: Qemu, mib: int) -> None:
    """Waits until QEMU has read so much of the device's data."""
    deadline = time.monotonic() + TIMEOUT
    while source.migration().get("vfio", {}).get("transferred", 0) < mib * Disk.MIB:
        if time.monotonic() > deadline:
            raise Failure("the device's data does not move")
        time.sleep(0.05)


def wait_half(source: Qemu) -> None:
    """Waits until half of what DURING and BEFORE left is through."""
    wait_moving(source, (BEFORE[1] + DURING[1]) // 2)


def cancel(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live(), but called off half-way."""
    source, destination = begin(tour, mode, timeline)
    wait_half(source)
    source.qmp.command("migrate_cancel")
    wait_end(tour, source, result)
    timeline.stay()
    take_figures(source, mode, result, timeline)
    destination.quit()


def check_stream(file: Path) -> None:
    """Has vfmigctl find the device's stream in QEMU's file, and check it as a destination does."""
    done = subprocess.run([VFMIGCTL, "stream", "check", file], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise Failure(f"vfmigctl stream check: {(done.stderr or done.stdout).strip()[:300]}")


def snapshot(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """Into a file, and out of it into a new QEMU when the old one is gone."""
    source = tour.guest.qemu
    file = tour.lab.run / "snapshot"
    mode.apply(source)
    timeline.start(tour.guest)
    source.qmp.command("migrate", uri=f"file:{file}")
    wait_end(tour, source, result)
    take_figures(source, mode, result, timeline)
    source.quit()
    check_stream(file)
    destination = tour.destination()
    mode.apply(destination)
    try:
        destination.qmp.command("migrate-incoming", uri=f"file:{file}")
        wait_running(destination)
    finally:
        file.unlink()
    settle(tour, timeline, destination)


def describe(tour: Tour, mode: Mode, load: Load, result: Result) -> Timeline:
    """Fills in the part of the result that is known before the migration begins."""
    result.mode = mode.name
    result.qemu_source, result.qemu_destination = map(str, tour.emulators)
    result.machine = tour.combination.machine
    result.iommu = tour.combination.wiring.iommu
    result.dirty_tracking = tour.combination.wiring.tracking
    result.guest_io = load.name
    result.disks, result.nics = len(tour.disks), len(tour.nics)
    result.media_mb = tour.lab.media_mb if tour.disks else 0
    result.queue_pairs = tour.lab.queue_pairs if tour.nics else 0
    return Timeline(f"{result.scenario}: {mode.name}, guest {load.name}")


def note_guest(guest: Guest, io: Verified, memory: Verified, result: Result) -> None:
    """Fills in the part of the result that comes from the guest."""
    result.io_bytes_verified = io.read
    result.io_verify_errors = io.errors
    result.memory_bytes_verified = memory.read
    result.memory_verify_errors = memory.errors
    result.guest_messages = guest.kernel_errors()
    result.guest_errors = len(result.guest_messages)


class Talk(Protocol):
    """What a NIC of the guest and the peer say to each other."""
    def samples(self) -> list[tuple[float, list[int]]]:
        """Times, and the bytes of each stream."""

    def wait_announced(self, since: float) -> None:
        """Waits until the guest has announced itself since a time."""

    def stop(self) -> tuple[Carried, Pings]:
        """Ends it, after it was seen to go on."""


def note_network(traffics: Sequence[Talk], result: Result, timeline: Timeline) -> None:
    """Ends the traffic, and fills in its part of the result."""
    moved = timeline.resumed is not None
    if moved:
        # For the picture
        time.sleep(max(0, timeline.end + TAIL - time.time()))
    for traffic in traffics:
        if moved and timeline.stopped:
            traffic.wait_announced(timeline.stopped)
        carried, pings = traffic.stop()
        if traffic is traffics[0]:
            timeline.take_traffic(traffic.samples(), pings.replies)
        begin, end = pings.gap()
        result.net_bytes_verified += carried.verified
        result.net_errors += carried.errors
        result.net_messages += carried.messages
        result.net_gap_ms = max(result.net_gap_ms, round((end - begin) * 1e3, 1))
        result.net_announcements += len(pings.announcements)
    if traffics and moved and timeline.stopped and timeline.resumed:
        stopped = timeline.resumed - timeline.stopped
        if result.net_gap_ms > (stopped + GAP_SLACK) * 1e3:
            raise Failure(f"the guest was out of reach for {result.net_gap_ms / 1e3:.2f} s and "
                          f"stopped for {stopped:.2f} s")


def carry_over(tour: Tour, move: Move, mode: Mode, load: Load, result: Result) -> Timeline:
    """One migration under verified I/O, with its picture.  Fills in the result."""
    progress = tour.lab.progress
    seed = tour.next_seed()
    timeline = describe(tour, mode, load, result)

    progress(f"{result.scenario} ({mode.name}), guest {load.name}: writes and verifies")
    work = Work(tour.disks, load, seed)
    sampler = Sampler(tour.guest, tour.disks) if tour.disks else None
    traffics = tour.start_traffic(load.traffic)

    move(tour, mode, result, timeline)

    progress("guest verifies all")
    in_memory = work.memory()
    note_network(traffics, result, timeline)
    total = work.end()
    timeline.finish(sampler.stop() if sampler else [])

    note_guest(tour.guest, total, in_memory, result)
    return timeline
