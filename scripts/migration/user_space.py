# SPDX-License-Identifier: GPL-2.0-only
"""A VF that a driver in user space drives: QEMU's nvme://, which maps the registers and the
doorbells by itself.  A guest has it as a disk and knows nothing of NVMe.
"""

from typing import Iterator

from . import Failure
from .carry import AFTER, BEFORE, MEDIA_MB, MEMORY, MEMORY_RATE, note_guest
from .combination import PLAIN, Hardware
from .guest import Disk, Memory
from .host import Vf
from .result import Result
from .step import Step
from .tour import Lab, Tour

NAME = "user-space-driver"
# What the driver needs.  Its user sets the same.
SETTINGS = {"doorbell_poll_us": 200, "map_registers": 1}
# The guest's own disk is the first
DEVICE = "/dev/vdb"
# What has the disk's backend in QEMU
BACKEND = "/machine/peripheral/user0/virtio-backend"

# QEMU writes this itself, beside the guest: a MiB of one byte
OWN_MB = 24
OWN_PATTERN = 0xa5


def write_by_qemu(tour: Tour) -> None:
    """Has QEMU write to the disk without the guest, as qemu-io does.  What that says goes to
    QEMU's standard output, when its buffer is full: the guest looks whether it was done."""
    said = tour.guest.qemu.monitor(
        f'qemu-io -d {BACKEND} "write -P {OWN_PATTERN} {OWN_MB}M 1M"')
    if said.strip():
        raise Failure(f"QEMU does not write: {said.strip()[:300]}")


def verify_by_guest(disk: Disk) -> None:
    """Has the guest look for what QEMU wrote."""
    read = f"dd if={disk.device} bs=1M skip={OWN_MB} count=1 2>/dev/null"
    size = int(disk.guest.output(f"{read} | wc -c"))
    others = int(disk.guest.output(f"{read} | tr -d '\\{OWN_PATTERN:o}' | wc -c"))
    if size != Disk.MIB or others:
        raise Failure(f"{others} of {size} bytes that QEMU wrote are others in {disk.device}")


def in_user_space(lab: Lab, vf: Vf) -> tuple[Tour, Disk]:
    """A guest with the VF as a disk of QEMU's."""
    tour = lab.tour(NAME, [[], []], hardware=Hardware(nvme=(vf.address,)))
    disk = Disk(tour.guest, DEVICE)
    disk.wait()
    return tour, disk


def by_itself(lab: Lab, vf: Vf) -> tuple[Tour, Disk]:
    """A guest with the VF, and its own driver for it."""
    tour = lab.tour(NAME, [[vf], []], hardware=PLAIN)
    return tour, tour.disks[0]


def pass_on(lab: Lab, vf: Vf, result: Result) -> None:
    """One driver writes, the other one verifies, and the other way round."""
    tour, disk = in_user_space(lab, vf)
    result.qemu_source = result.qemu_destination = str(tour.emulators[0])
    result.machine = tour.combination.machine
    result.media_mb = MEDIA_MB
    result.disks = 1
    memory = Memory(disk, *MEMORY, 1, MEMORY_RATE)
    found = disk.write(*BEFORE, 2, "32k")
    write_by_qemu(tour)
    verify_by_guest(disk)
    in_memory = memory.stop()

    lab.progress(f"{result.scenario}: a guest's own driver has the VF")
    tour, disk = by_itself(lab, vf)
    found += disk.verify(*BEFORE, 2, "32k")
    verify_by_guest(disk)
    found += disk.write(*AFTER, 3)

    lab.progress(f"{result.scenario}: the driver in user space has it again")
    tour, disk = in_user_space(lab, vf)
    found += disk.verify(*BEFORE, 2, "32k")
    found += disk.verify(*AFTER, 3)
    verify_by_guest(disk)
    note_guest(tour.guest, found, in_memory, result)
    if not found.read:
        raise Failure("nothing was verified")
    result.status = "completed"


def user_space_driver(lab: Lab) -> Iterator[Step]:
    """A guest's disk is a VF that QEMU drives by itself, through nvme://."""
    lab.set_vfs(2, MEDIA_MB)
    settings = lab.vfs[0].path / "physfn" / "vfmig"
    before = {name: (settings / name).read_text() for name in SETTINGS}
    result = Result(NAME, mode="no migration", guest_io="QEMU's nvme://")
    try:
        for name, value in SETTINGS.items():
            (settings / name).write_text(str(value))
        pass_on(lab, lab.vfs[0], result)
        yield result, None
    finally:
        lab.end_tour()
        for name, text in before.items():
            (settings / name).write_text(text)
