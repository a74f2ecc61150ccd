# SPDX-License-Identifier: GPL-2.0-only
"""A guest that goes from VF to VF, and what stays the same meanwhile."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from . import Failure, host
from .combination import PLAIN, Combination, Emulator, Hardware, Wiring
from .guest import Disk, Guest
from .qemu import Qemu
from .traffic import Nic, Traffic, TrafficLoad
from .wire import Wire

# Each migration of a guest has so many seeds of its own, so that no old data passes
SEEDS = 1 << 16


class Tour:
    """A guest that boots with the VFs of the first side and goes to and fro."""

    def __init__(self, lab: "Lab", name: str, sides: list[list[host.Vf]],
                 combination: Combination):
        self.lab = lab
        self.sides = sides
        self.combination = combination
        self.seed = 0
        self.traffics: list[Traffic] = []
        # The names of all QEMUs, those that did not start too
        self.qemus: list[str] = []
        self.call(name)
        self._at = 0
        self._stack = ExitStack()
        lab.progress(f"guest boots with {', '.join(vf.address for vf in sides[0])}, "
                     f"{combination.wiring.name}")
        try:
            self.guest = Guest(self._boot(0))
            disks = sum(vf.model == host.NVME for vf in sides[0])
            self.disks = [Disk(self.guest, f"/dev/nvme{number}n1") for number in range(disks)]
            for disk in self.disks:
                disk.wait()
            nics = len(sides[0]) - disks + len(combination.hardware.taps)
            self.nics = [Nic(self.guest, number, lab.queue_pairs) for number in range(nics)]
        except BaseException:
            self.end()
            raise

    def _boot(self, side: int, **options: Any) -> Qemu:
        self.qemus.append(f"{self._prefix}-{self.migrations}")
        qemu = Qemu(self.qemus[-1], self.lab.image, self.lab.logs,
                    self.lab.run, self.sides[side], self.combination.emulators[side],
                    self.combination, **options)
        self._stack.callback(qemu.quit)
        return qemu

    def destination(self) -> Qemu:
        """A QEMU with the other side's VFs that waits for the guest."""
        self.migrations += 1
        return self._boot(1 - self._at, incoming=True)

    @property
    def vfs(self) -> list[host.Vf]:
        """The VFs of the guest."""
        return self.sides[self._at]

    @property
    def other_vfs(self) -> list[host.Vf]:
        """The VFs of the other side."""
        return self.sides[1 - self._at]

    @property
    def emulators(self) -> tuple[Emulator, Emulator]:
        """Where the guest is, and where it goes next."""
        return self.combination.emulators[self._at], self.combination.emulators[1 - self._at]

    def call(self, name: str) -> None:
        """Its QEMUs are called after the scenario, and numbered.  Nobody overwrites what
        another guest of the same scenario left."""
        guests = self.lab.guests[name] = self.lab.guests.get(name, 0) + 1
        self.name = name
        self._prefix = f"{name}-guest{guests}" if guests > 1 else name
        self.migrations = 0

    def start_traffic(self, load: TrafficLoad) -> list[Traffic]:
        """Has all NICs carry traffic.  Ends with the tour, at the latest."""
        self.traffics = []
        if self.nics:
            assert self.lab.wire
            self._stack.callback(self.lab.wire.end_peers)
        for nic in self.nics:
            logs = self.lab.logs / f"{self._prefix}-{self.migrations}-{nic.name}"
            self.traffics.append(Traffic(nic, self.lab.wire, self.lab.image, logs, self.seed,
                                         load))
        return self.traffics

    def arrived(self) -> None:
        self._at = 1 - self._at

    def next_seed(self) -> int:
        self.seed += SEEDS
        return self.seed

    def end(self) -> None:
        self._stack.close()


@dataclass
class Course:
    """How long the scenario soak goes on, in rounds, or in hours if these are not 0; and the seed
    of what it chooses."""
    rounds: int = 12
    hours: float = 0
    seed: int = 0


@dataclass
class Lab:
    """What scenarios work with.  A tour's guest stays up for the next scenario that
    wants one with the same VFs and QEMUs: booting takes longer than migrating."""
    image: Path
    logs: Path
    run: Path
    emulators: list[Emulator]
    wiring: Wiring
    progress: Callable[[str], None]
    # Only these of the scenario misbehave, or all
    faults: list[str] = field(default_factory=list)
    # Why there is no second test VM for the scenario two-hosts; empty if there is
    alone: str = ""
    # Only these acts of it, or all
    acts: list[str] = field(default_factory=list)
    # The root of its libvirt; the machine's if there is none
    libvirt: Optional[Path] = None
    course: Course = field(default_factory=Course)
    # What was begun again, as an emulated processor lost its guest
    lost_guests: list[str] = field(default_factory=list)
    vfs: list[host.Vf] = field(default_factory=list)
    media_mb: int = 0
    nics: list[host.Vf] = field(default_factory=list)
    queue_pairs: int = 0
    packed: bool = False
    wire: Optional[Wire] = None
    guests: dict[str, int] = field(default_factory=dict)
    _tour: Optional[Tour] = None

    def set_vfs(self, count: int, media_mb: int) -> None:
        """Makes the VFs anew if there are others."""
        if len(self.vfs) != count or self.media_mb != media_mb:
            self.end_tour()
            self.progress(f"making {count} VFs with {media_mb} MiB each")
            self.vfs = host.make_vfs(host.NVME, count, media_mb=media_mb)
            self.media_mb = media_mb

    def set_nics(self, count: int, queue_pairs: int, packed: bool = True) -> None:
        """The same for VFs that are NICs.  All of them are on one bridge with the peer."""
        if (len(self.nics), self.queue_pairs, self.packed) != (count, queue_pairs, packed):
            self.end_tour()
            self.progress(f"making {count} VFs with {queue_pairs} queue pairs each, "
                          f"{'packed' if packed else 'split'}")
            self.wire = self.wire or Wire()
            nics = host.make_vfs(host.NET, count, queue_pairs=queue_pairs, packed=int(packed))
            for vf in nics:
                self.wire.attach(vf.netdev)
            self.nics, self.queue_pairs, self.packed = nics, queue_pairs, packed

    def tour(self, name: str, sides: list[list[host.Vf]],
             emulators: Optional[tuple[Emulator, Emulator]] = None,
             wiring: Optional[Wiring] = None, hardware: Hardware = PLAIN) -> Tour:
        """Unless told otherwise between QEMUs of the first kind."""
        combination = Combination(emulators or (self.emulators[0], self.emulators[0]),
                                  wiring or self.wiring, hardware)
        if self._tour and (self._tour.sides, self._tour.combination) != (sides, combination):
            self.end_tour()
        if not self._tour:
            self._tour = Tour(self, name, sides, combination)
        elif self._tour.name != name:
            self._tour.call(name)
        return self._tour

    def discard_vfs(self) -> None:
        """They are no longer what set_vfs() made."""
        self.vfs = []

    def end_tour(self) -> None:
        if self._tour:
            self._tour.end()
            self._tour = None

    def close(self) -> None:
        self.end_tour()
        if self.wire:
            self.wire.close()
        try:
            host.remove_vfs()
        except (OSError, Failure) as error:
            raise Failure(f"the VFs can't be removed: {error}") from error
