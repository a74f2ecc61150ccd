# SPDX-License-Identifier: GPL-2.0-only
"""Resets of the device in PRE_COPY."""

from typing import Callable, Iterator

from .carry import BEFORE, Mode, arrive, live, take_figures, wait_end
from .guest import Guest
from .result import Result
from .step import HELD, PRECOPY, Step, hold, let_go, migrate, no_errors, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour


def reset_controller(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """As live().  The guest resets the controller through its registers in PRE_COPY.  This
    does not reset the function, so the migration continues."""
    source, destination = hold(tour, mode, timeline)
    tour.guest.output(f"echo 1 >/sys/block/{tour.disks[0].name}/device/reset_controller")
    let_go(source)
    arrive(tour, mode, result, timeline, destination)


def reset_function(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
    """The guest resets the function (FLR), which ends the migration."""
    source, destination = hold(tour, mode, timeline)
    tour.guest.output(f"echo 1 >/sys/block/{tour.disks[0].name}/device/device/reset")
    wait_end(tour, source, result)
    timeline.stay()
    take_figures(source, mode, result, timeline)
    destination.quit()


def from_outside(guest: Guest) -> None:
    guest.qemu.qmp.command("system_reset")


def by_guest(guest: Guest) -> None:
    guest.output("(sleep 0.5; reboot -f) >/dev/null 2>&1 &")


def rebooted(tour: Tour, name: str, reboot: Callable[[Guest], None]) -> None:
    """Resets the machine.  The migration must fail, and the guest must find its data."""
    guest, disk = tour.guest, tour.disks[0]
    seed = tour.next_seed()
    disk.write(*BEFORE, seed, "32k")
    source, destination = hold(tour, HELD, Timeline(name))
    # QEMU normally exits instead, so that a lost guest is noticed
    source.qmp.command("set-action", reboot="reset")
    reboot(guest)
    wait_end(tour, source, Result(name, expected="failed"))
    destination.quit()
    guest.wait_up()
    source.qmp.command("set-action", reboot="shutdown")
    disk.wait()
    no_errors(disk, seed)


def resets(lab: Lab) -> Iterator[Step]:
    """Each kind of reset in PRE_COPY.  The guest moves afterwards."""
    name = "resets"
    tour = one_vf_tour(lab, name)
    for result, move in ((Result("resets, controller"), reset_controller),
                         (Result("resets, function", expected="failed"), reset_function)):
        step = migrate(tour, result, move, HELD)
        yield step
        if not step[0].good():
            return
    for kind, reboot in (("system_reset", from_outside), ("reboot", by_guest)):
        lab.progress(f"{name}, {kind}")
        rebooted(tour, name, reboot)
    yield migrate(tour, Result("resets, again"), live, PRECOPY)
