#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures what a migration's tracking costs a guest.

A read of the disk is a DMA write to guest memory, so it is what dirty tracking records.
The guest reads 4 KiB at random with its stock driver all the time.  Tracking is in turns
off, done by the device, and done by the IOMMU.  A write changes the device's memory, so it is
what a PRE_COPY session records.  The guest writes in the same way, with a session and without.
Prints figures, and writes DIR/NAME.json for each, like vfmig_bench.

Runs as root where the modules are installed and /dev/kvm works: in the test VM, called by
scripts/bench, or on any other machine.  Needs the guest of scripts/guest-image.  Exit
status: 0 if all targets were met, or the kernel has no IOMMUFD; else 1.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

from migration import Failure, GuestLost
from migration.combination import TRACKED, Emulator, wirings
from migration.figure import ROUNDS, bench_parser, report, run_bench, take_with_guests
from migration.guest import Disk
from migration.qemu import Qemu
from migration.tour import Lab
from migration.tracking import DeviceLog, Files, IommuTracking, Session, Tracker

MEDIUM_MB = 256
# A sample is so many slices, in turns with those of the others: what else the machine does
# comes and goes, and then is in all samples of a round.  In seconds.
SLICES = 8
SLICE = 0.125
# A slice is taken so often until something was read
TRIES = 40

TARGET, SESSION_TARGET = 0.95, 0.9

OFF, LOG, IOMMU = "off", "log", "iommu"
NONE, SESSION = "none", "session"
Samples = dict[str, list[float]]


def progress(text: str) -> None:
    print(f"guest: {text}", flush=True)


class Fio:
    """The guest's load, and how far it is."""

    def __init__(self, disk: Disk, action: str):
        self._disk = disk
        self._action = action
        self._said = f"/tmp/{action}-{disk.name}"

    def __enter__(self) -> "Fio":
        disk = self._disk
        disk.guest.output(f"(io {self._action} {disk.device} 0 {MEDIUM_MB * disk.MIB} "
                          f">{self._said} 2>&1 &)")
        disk.busy()
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        # A guest that was lost does not answer
        if not kind:
            self._disk.guest.output("killall fio; while pidof fio; do sleep 0.1; done")

    def slice(self) -> tuple[float, int]:
        """Seconds of the guest's clock, and the reads and writes that were completed in them.
        There were some: a slice in which fio did not get to its turn tells nothing."""
        look = (f"read -r reads _ _ _ writes _ </sys/block/{self._disk.name}/stat; "
                "echo $EPOCHREALTIME $((reads + writes))")
        for _ in range(TRIES):
            begin, before, end, after = self._disk.guest.output(
                f"{look}; sleep {SLICE}; {look}").split()
            if after != before:
                return float(end) - float(begin), int(after) - int(before)
        said = " ".join(self._disk.guest.output(f"cat {self._said}").split())
        raise Failure(f"the guest does no I/O, and fio says: {said[-300:]}")


def slice_of(fio: Fio, trackers: dict[str, Tracker], name: str) -> tuple[float, int]:
    """A slice.  Whoever is to note must have, and nobody else."""
    tracker = trackers.get(name)
    if tracker:
        tracker.switch(True)
    for other in trackers.values():
        if other is not tracker and not other.off():
            raise Failure(f"{other.name} notes what it was not to note")
    time_and_count = fio.slice()
    if tracker:
        if not tracker.report():
            raise Failure(f"{tracker.name} noted nothing of what the guest did")
        tracker.switch(False)
    return time_and_count


def take_round(fio: Fio, trackers: dict[str, Tracker], order: list[str],
               samples: Samples) -> None:
    """Adds to all samples of the order, or in case of an exception to none."""
    times, counts = dict.fromkeys(order, 0.0), dict.fromkeys(order, 0)
    for _ in range(SLICES):
        for name in order:
            time, count = slice_of(fio, trackers, name)
            times[name] += time
            counts[name] += count
    for name in order:
        samples[name].append(counts[name] / times[name])


def take_all(fio: Fio, trackers: dict[str, Tracker], names: list[str], samples: Samples) -> None:
    """Takes what there is not yet of these."""
    order = names[:]
    with fio:
        while len(samples[names[0]]) < ROUNDS:
            take_round(fio, trackers, order, samples)
            # What comes first, or after what, is not always the same
            order.append(order.pop(0))


def guest_ended(qemu: Qemu) -> bool:
    """Has QEMU ended in order, or is it about to?  It does when its guest resets."""
    try:
        return qemu.process.wait(5) == 0
    except subprocess.TimeoutExpired:
        return False


def take_rounds(lab: Lab, samples: Samples) -> None:
    """Boots a guest and takes what there is not yet."""
    vf, = lab.vfs
    tour = lab.tour("bench", [[vf]])
    qemu = tour.guest.qemu
    try:
        with Files(qemu.process.pid) as files:
            memory = qemu.qmp.command("query-memory-size-summary")["base-memory"]
            device, disk = files.device(), tour.disks[0]
            dma: dict[str, Tracker] = {LOG: DeviceLog(device, memory),
                                       IOMMU: IommuTracking(files.iommufd(), memory)}
            lab.progress(f"fills its disk of {MEDIUM_MB} MiB, reads it, and writes it")
            disk.fill(0, MEDIUM_MB, 1)
            take_all(Fio(disk, "read"), dma, [OFF, *dma], samples)
            take_all(Fio(disk, "overwrite"), {SESSION: Session(device)}, [NONE, SESSION], samples)
    except Failure as failure:
        if isinstance(failure, GuestLost) or not guest_ended(qemu):
            raise
        # An interrupt that an emulated processor delivers twice may let the guest's kernel
        # live on for long enough to panic
        raise GuestLost(str(failure)) from failure
    finally:
        lab.end_tour()


def report_all(output: Path, samples: Samples) -> bool:
    off, log, iommu = samples[OFF], samples[LOG], samples[IOMMU]
    return all([
        report(output, "dma_log_guest", "reads/s", TARGET, ("on", log), ("off", off)),
        report(output, "iommu_dirty_guest", "reads/s", TARGET, ("on", iommu), ("off", off)),
        report(output, "log_by_iommu_guest", "reads/s", TARGET, ("log", log), ("iommu", iommu)),
        report(output, "session_guest", "writes/s", SESSION_TARGET, ("on", samples[SESSION]),
               ("off", samples[NONE])),
    ])


def main() -> int:
    arguments = bench_parser(__doc__, "guest").parse_args()
    samples: Samples = {name: [] for name in (OFF, LOG, IOMMU, NONE, SESSION)}
    wiring = TRACKED[0]
    if wiring not in wirings():
        print(f"no figures of a guest: Linux {os.uname().release} has no IOMMUFD")
        return 0
    logs = arguments.output / "guest"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as run:
        lab = Lab(arguments.image, logs, Path(run), [Emulator.find(arguments.qemu)], wiring,
                  progress)
        lab.set_vfs(1, MEDIUM_MB)
        try:
            take_with_guests(lab, lambda: take_rounds(lab, samples),
                             lambda: f"{len(samples[OFF])} and {len(samples[NONE])} rounds")
        finally:
            lab.close()
    return 0 if report_all(arguments.output, samples) else 1


if __name__ == "__main__":
    run_bench(main)
