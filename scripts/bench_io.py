#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures the I/O of a guest to a VF against that to QEMU's own disks.

The guest has a VF, and QEMU's nvme and virtio-blk-pci, each with a file in memory.  The latter has
a thread of its own; QEMU's nvme can't have one, and is told of its doorbells by eventfds.  fio in
the guest reads and writes each in turns.  Prints figures, and writes DIR/NAME.json for each, like
vfmig_bench: I/Os per second, the latency of one at a time, and I/Os per second of CPU time.

Runs as root where the modules are installed and /dev/kvm works: in the test VM, called by
scripts/bench, or on any other machine.  Needs the guest of scripts/guest-image.  Exit
status: 0 if all targets were met; else 1.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration.combination import Emulator, Hardware, wirings
from migration.figure import bench_parser, report, run_bench, take_with_guests
from migration.guest import Guest, fio_jobs
from migration.tour import Lab

MEDIUM_MB = 64
ROUNDS = 5
# Seconds of a sample
SAMPLE = 1

# How the guest's kernel names the disks, and QEMU's own
VF, NVME, VIRTIO = "vf", "nvme", "virtio-blk"
OWN = {NVME: "nvme,serial=own,ioeventfd=on",
       VIRTIO: "virtio-blk-pci,iothread=thread1"}


@dataclass(frozen=True)
class Load:
    """What fio does.  The VF is to be so many times as fast as each of QEMU's own."""
    name: str
    options: str
    targets: tuple[tuple[str, float], ...] = ((NVME, 3.0), (VIRTIO, 1.5))

    @property
    def direction(self) -> str:
        return "read" if "read" in self.options else "write"


def random_4k(depth: int, jobs: int = 1) -> list[Load]:
    name = f"depth_{depth}" + (f"x{jobs}" if jobs > 1 else "")
    return [Load(f"{name}_{rw}", f"--rw=rand{rw} --bs=4k --iodepth={depth} --numjobs={jobs}")
            for rw in ("read", "write")]


def sequential() -> list[Load]:
    return [Load(f"sequential_{rw}", f"--rw={rw} --bs=128k --iodepth=8", ((NVME, 2.0),))
            for rw in ("read", "write")]


LOADS = (*random_4k(1), *random_4k(4), *random_4k(32), *random_4k(32, 4), *sequential())
# From submission on: a vCPU may do all of a command's work there
LATENCIES = ("50.000000", "99.000000")

# By load and disk, the summaries of fio's jobs
Samples = dict[str, dict[str, list[dict[str, Any]]]]


def progress(text: str) -> None:
    print(f"io: {text}", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = bench_parser(__doc__, "io")
    parser.add_argument("--poll", type=int, default=0, metavar="US",
                        help="doorbell_poll_us of the VF (%(default)s: doorbells are not mapped)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N",
                        help="default: %(default)s")
    parser.add_argument("--load", choices=[load.name for load in LOADS], action="append",
                        help="only this one; may be repeated")
    return parser.parse_args()


def disks_of(guest: Guest) -> dict[str, str]:
    """The guest's devices: QEMU's own nvme is known by its serial number."""
    found = {VIRTIO: "/dev/vdb"}
    for line in guest.output("grep -H . /sys/class/nvme/nvme*/serial").splitlines():
        path, serial = line.split(":", 1)
        found[NVME if serial.strip() == "own" else VF] = f"/dev/{path.split('/')[-2]}n1"
    return found


def cpu_time(guest: Guest) -> float:
    """Seconds of all threads of QEMU, that of the VF among them: what its disks cost, and the
    guest."""
    # As clock_getcpuclockid() does it
    return time.clock_gettime(~guest.qemu.process.pid << 3 | 2)


def sample(guest: Guest, device: str, load: Load) -> dict[str, Any]:
    before = cpu_time(guest)
    text = guest.output(
        f"fio --name=io --filename={device} --size={MEDIUM_MB}M {load.options} --direct=1 "
        f"--ioengine=libaio --time_based --runtime={SAMPLE} --group_reporting "
        f"--norandommap --lat_percentiles=1 --output-format=json --eta=never")
    job = fio_jobs(text)[0][load.direction]
    # With that of fio's start, which takes as long with each disk
    return {**job, "per_cpu_second": job["total_ios"] / (cpu_time(guest) - before)}


def take(lab: Lab, hardware: Hardware, loads: list[Load], rounds: int, samples: Samples) -> None:
    """Boots a guest and takes the samples that there are not yet."""
    tour = lab.tour("bench", [[lab.vfs[0]]], hardware=hardware)
    guest = tour.guest
    try:
        disks = disks_of(guest)
        for device in disks.values():
            guest.output(f"dd if=/dev/zero of={device} bs=1M count={MEDIUM_MB} oflag=direct")
        for load in loads:
            if load.name in samples:
                continue
            lab.progress(load.name)
            taken: dict[str, list[dict[str, Any]]] = {name: [] for name in disks}
            for _ in range(rounds):
                for name, device in disks.items():
                    taken[name].append(sample(guest, device, load))
            samples[load.name] = taken
    finally:
        lab.end_tour()


def figure_of(load: Load, other: str) -> str:
    return f"guest_io_{load.name}_{'nvme' if other == NVME else 'virtio'}"


def report_all(output: Path, samples: Samples) -> bool:
    met = True
    for load in (load for load in LOADS if load.name in samples):
        taken = samples[load.name]
        iops = {name: [job["iops"] for job in jobs] for name, jobs in taken.items()}
        for other, target in load.targets:
            met &= report(output, figure_of(load, other), "I/Os/s", target, (VF, iops[VF]),
                          (other, iops[other]))
        met &= report(output, f"guest_cpu_{load.name}", "I/Os/s of CPU", 1.0,
                      *[(name, [job["per_cpu_second"] for job in taken[name]])
                        for name in (VF, NVME)])
        if "depth_1_" not in load.name:
            continue
        for percentile in LATENCIES:
            latency = {name: [job["lat_ns"]["percentile"][percentile] / 1000 for job in jobs]
                       for name, jobs in taken.items()}
            met &= report(output, f"guest_latency_{load.direction}_p{percentile[:2]}", "us", 2.0,
                          (NVME, latency[NVME]), (VF, latency[VF]))
    return met


def main() -> int:
    arguments = parse_arguments()
    loads = [load for load in LOADS if not arguments.load or load.name in arguments.load]
    samples: Samples = {}
    logs = arguments.output / "io"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as run:
        files = {name: Path(run) / f"{name}.img" for name in OWN}
        for file in files.values():
            with file.open("wb") as image:
                image.truncate(MEDIUM_MB << 20)
        hardware = Hardware(disks=tuple((OWN[name], file) for name, file in files.items()))
        lab = Lab(arguments.image, logs, Path(run), [Emulator.find(arguments.qemu)],
                  wirings()[0], progress)
        try:
            lab.set_vfs(1, MEDIUM_MB)
            (lab.vfs[0].path / "physfn/vfmig/doorbell_poll_us").write_text(str(arguments.poll))
            take_with_guests(lab,
                             lambda: take(lab, hardware, loads, arguments.rounds, samples),
                             lambda: f"{len(samples)} loads")
        finally:
            lab.close()
    return 0 if report_all(arguments.output, samples) else 1


if __name__ == "__main__":
    run_bench(main)
