#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures the cost of dirty tracking, by the device or by the IOMMU, for a guest's reads.

A read of the disk is a DMA write to guest memory, so it is what dirty tracking records.
The guest reads 4 KiB at random with its stock driver all the time.  Tracking is in turns
off, done by the device, and done by the IOMMU.  Prints figures, and writes DIR/NAME.json
for each, like vfmig_bench.

Runs as root where the modules are installed and /dev/kvm works: in the test VM, called by
scripts/bench, or on any other machine.  Needs the guest of scripts/guest-image.  Exit
status: 0 if all targets were met, or the kernel has no IOMMUFD; else 1.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from migration import Failure, GuestLost
from migration.combination import TRACKED, Emulator, wirings
from migration.figure import ROUNDS, bench_parser, report, run_bench, take_with_guests
from migration.guest import Disk
from migration.qemu import Qemu
from migration.tour import Lab
from migration.tracking import DeviceLog, Files, IommuTracking, Tracker

MEDIUM_MB = 256
# A sample is so many slices, in turns with those of the others: what else the machine does
# comes and goes, and then is in all samples of a round.  In seconds.
SLICES = 8
SLICE = 0.125
# A slice is taken so often until something was read
TRIES = 40

TARGET = 0.95
UNIT = "reads/s"

OFF, LOG, IOMMU = "off", "log", "iommu"
Samples = dict[str, list[float]]


def progress(text: str) -> None:
    print(f"guest: {text}", flush=True)


class Reader:
    """The guest's load, and how far it is."""

    def __init__(self, disk: Disk):
        self._disk = disk
        self._said = f"/tmp/read-{disk.name}"
        disk.fill(0, MEDIUM_MB, 1)
        disk.guest.output(f"(io read {disk.device} 0 {MEDIUM_MB * disk.MIB} >{self._said} 2>&1 &)")
        disk.busy()

    def slice(self) -> tuple[float, int]:
        """Seconds of the guest's clock, and the reads that were completed in them.  There
        were some: a slice in which fio did not get to its turn tells nothing."""
        look = (f"read -r reads _ </sys/block/{self._disk.name}/stat; "
                "echo $EPOCHREALTIME $reads")
        for _ in range(TRIES):
            begin, before, end, after = self._disk.guest.output(
                f"{look}; sleep {SLICE}; {look}").split()
            if after != before:
                return float(end) - float(begin), int(after) - int(before)
        said = " ".join(self._disk.guest.output(f"cat {self._said}").split())
        raise Failure(f"the guest reads nothing, and fio says: {said[-300:]}")


def slice_of(reader: Reader, trackers: dict[str, Tracker], name: str) -> tuple[float, int]:
    """A slice.  Whoever is to note must have, and nobody else."""
    tracker = trackers.get(name)
    if tracker:
        tracker.switch(True)
    for other in trackers.values():
        if other is not tracker and not other.off():
            raise Failure(f"{other.name} notes what it was not to note")
    time_and_reads = reader.slice()
    if tracker:
        if not tracker.report():
            raise Failure(f"{tracker.name} noted nothing of what the guest read")
        tracker.switch(False)
    return time_and_reads


def take_round(reader: Reader, trackers: dict[str, Tracker], order: list[str],
               samples: Samples) -> None:
    """Adds to all samples, or in case of an exception to none."""
    times, reads = dict.fromkeys(order, 0.0), dict.fromkeys(order, 0)
    for _ in range(SLICES):
        for name in order:
            time, count = slice_of(reader, trackers, name)
            times[name] += time
            reads[name] += count
    for name in order:
        samples[name].append(reads[name] / times[name])


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
            trackers: dict[str, Tracker] = {LOG: DeviceLog(files.device(), memory),
                                            IOMMU: IommuTracking(files.iommufd(), memory)}
            lab.progress(f"writes its disk of {MEDIUM_MB} MiB, then reads it")
            reader = Reader(tour.disks[0])
            order = list(samples)
            while len(samples[OFF]) < ROUNDS:
                take_round(reader, trackers, order, samples)
                # What comes first, or after what, is not always the same
                order.append(order.pop(0))
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
        report(output, "dma_log_guest", UNIT, TARGET, ("on", log), ("off", off)),
        report(output, "iommu_dirty_guest", UNIT, TARGET, ("on", iommu), ("off", off)),
        report(output, "log_by_iommu_guest", UNIT, TARGET, ("log", log), ("iommu", iommu)),
    ])


def main() -> int:
    arguments = bench_parser(__doc__, "guest").parse_args()
    samples: Samples = {OFF: [], LOG: [], IOMMU: []}
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
                             lambda: f"{len(samples[OFF])} rounds")
        finally:
            lab.close()
    return 0 if report_all(arguments.output, samples) else 1


if __name__ == "__main__":
    run_bench(main)
