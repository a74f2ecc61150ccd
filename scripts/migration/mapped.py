# SPDX-License-Identifier: GPL-2.0-only
"""A VF whose doorbells are mapped, and one whose doorbells are trapped: a guest goes from one to
the other and back.
"""

import os
from pathlib import Path
from typing import Iterator

from . import Failure, LeftOut
from .carry import MEDIA_MB, live
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, migrate
from .tour import Lab, Tour

NAME = "mapped"
# How long the doorbells are polled, of each side's VF
POLL_US = (200, 0)


def check(qemu: Qemu, poll_us: int) -> None:
    """QEMU has mapped a page of the VF, or none.  It has no other VFIO device."""
    maps = Path(f"/proc/{qemu.process.pid}/maps").read_text().splitlines()
    pages = [line for line in maps if "vfio" in line]
    if bool(pages) != bool(poll_us):
        raise Failure(f"{qemu.name} maps {len(pages)} pages of a VF with doorbell_poll_us="
                      f"{poll_us}")


def there_and_back(tour: Tour) -> Iterator[Step]:
    for here, there in (POLL_US, POLL_US[::-1]):
        check(tour.guest.qemu, here)
        way = "trapped" if here else "mapped"
        step = migrate(tour, Result(f"{NAME}, to {way}"), live, PRECOPY)
        if step[0].good():
            check(tour.guest.qemu, there)
        yield step
        if not step[0].good():
            return


def mapped(lab: Lab) -> Iterator[Step]:
    """From the first kind of QEMU to the last and back, and from mapped doorbells to trapped ones
    and back."""
    if os.cpu_count() == 1:
        raise LeftOut("with one CPU no doorbells are mapped")
    lab.set_vfs(2, MEDIA_MB)
    # A QEMU asks what it can map when it opens the VF
    lab.end_tour()
    before = [vf.setting("doorbell_poll_us") for vf in lab.vfs]
    try:
        for vf, value in zip(lab.vfs, POLL_US):
            vf.set("doorbell_poll_us", value)
        tour = lab.tour(NAME, [[lab.vfs[0]], [lab.vfs[1]]],
                        (lab.emulators[0], lab.emulators[-1]))
        yield from there_and_back(tour)
    finally:
        lab.end_tour()
        for vf, value in zip(lab.vfs, before):
            vf.set("doorbell_poll_us", value)
