# SPDX-License-Identifier: GPL-2.0-only
"""A snapshot in place: saved to an open image, and loaded into the same QEMU and VF."""

from pathlib import Path
from typing import Iterator

from . import Failure
from .carry import AFTER, IDLE, Mode, live
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, migrate, no_errors, one_vf_tour
from .timeline import Timeline
from .trace import Trace
from .tour import Lab, Tour

NODE = "snapshots"


def make_image(qemu: Qemu, path: Path) -> None:
    """Opens an empty qcow2 image for the snapshot.  No device of the guest uses it."""
    def create(options: dict[str, object]) -> None:
        if said := qemu.qmp.job("blockdev-create", options=options):
            raise Failure(f"no image for snapshots: {said}")

    create({"driver": "file", "filename": str(path), "size": 0})
    qemu.qmp.command("blockdev-add", driver="file", node_name=f"{NODE}-file", filename=str(path))
    create({"driver": "qcow2", "file": f"{NODE}-file", "size": 1 << 20})
    qemu.qmp.command("blockdev-add", driver="qcow2", node_name=NODE, file=f"{NODE}-file")


def in_place(tour: Tour, _: Mode, result: Result, timeline: Timeline) -> None:
    """Saves a snapshot and loads it.  A write between the two must be gone afterwards."""
    guest, disk, progress = tour.guest, tour.disks[0], tour.lab.progress
    qemu = guest.qemu
    image = tour.lab.run / "snapshots.qcow2"
    store = {"tag": "one", "vmstate": NODE, "devices": [NODE]}
    make_image(qemu, image)
    try:
        seed = tour.next_seed()
        disk.write(*AFTER, seed)
        timeline.start(guest)
        if said := qemu.qmp.job("snapshot-save", **store):
            raise Failure(f"no snapshot: {said}")
        progress("snapshot saved")
        disk.write(*AFTER, seed + 1)
        if said := qemu.qmp.job("snapshot-load", **store):
            raise Failure(f"the snapshot can't be loaded: {said}")
        progress("snapshot loaded")
    finally:
        image.unlink()
    no_errors(disk, seed, AFTER, "4k")
    trace = Trace(qemu.trace, timeline.begin)
    timeline.leave(trace)
    timeline.stay()
    if "RESUMING" not in [state for device in trace.devices.values() for _, state in device.states]:
        raise Failure("the device was not loaded from the snapshot")
    result.status = "completed"
    # QEMU stops the guest first
    result.stopcopy_bytes = result.device_bytes = trace.stopcopy_bytes


def snapshot_in_place(lab: Lab) -> Iterator[Step]:
    """A snapshot is saved and loaded in place.  The guest moves afterwards."""
    name = "snapshot-in-place"
    tour = one_vf_tour(lab, name)
    step = migrate(tour, Result(name), in_place, Mode("saved, loaded"), IDLE)
    yield step
    if step[0].good():
        yield migrate(tour, Result(f"{name}, again"), live, PRECOPY)
