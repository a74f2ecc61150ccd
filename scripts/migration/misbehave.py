# SPDX-License-Identifier: GPL-2.0-only
"""Faults on command (Documentation/faults.rst), and what QEMU makes of each.

A row is one fault.  The guest migrates under verified I/O with the fault set.  If it is still
at the source afterwards, the fault is cleared and the guest migrates again.  Its data is
verified wherever it is then.
"""

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Iterable, Iterator, Optional

from . import Failure, GuestLost, patience
from .carry import DIRTYING, Mode, begin, settle, welcome
from .combination import Emulator, linux_knows_reinit
from .faults import DRIVER, Fault, fault_of, on_disk
from .host import Vf
from .net import PATIENT, TRAFFIC, nic_tour
from .qemu import Qemu
from .result import Behaviour, Result
from .step import Step, migrate, one_vf_tour
from .timeline import Timeline
from .tour import Lab, Tour

NAME = "misbehave"

# A migration that has not ended by then hangs
PATIENCE = patience(45)
# QEMU cleans up when it has said that a migration is over
CLEANUP = patience(3)

# What can become of a migration and its guest, the best first.  One that hangs is called off.
COMPLETED, STAYS, HANGS, LOST = "completed", "failed, guest stays", "hangs", "guest lost"
NEVER = "does not meet it"


@dataclass(frozen=True)
class Case:
    """A fault, and what a VMM can make of it at best."""
    when: str
    fault: str
    best: str
    destination: bool = False
    # The VF is a NIC
    nic: bool = False

    @property
    def side(self) -> str:
        return "destination" if self.destination else "source"


SET_UP, PRE_COPY, SWITCHOVER, RESUMING = "set-up", "PRE_COPY", "switchover", "resuming"
# From before the migration until it is over
ALL = "all the time"

PROFILES = ("mlx5", "virtio", "qat", "hisi", "xe", "pds", "stop-copy-only", "no-p2p",
            "no-precopy", "no-logging")

CASES = (
    Case(SET_UP, "data-size set=0", STAYS),
    Case(SET_UP, "data-size set=1T once", COMPLETED),
    Case(SET_UP, "data-size divide=100", COMPLETED),
    Case(SET_UP, "data-size errno=EIO", STAYS),
    Case(SET_UP, "log-start errno=ENOMEM", STAYS),
    Case(SET_UP, "arc RUNNING->PRE_COPY errno=EBUSY", STAYS),
    Case(SET_UP, "arc *->RESUMING errno=EBUSY", STAYS, True),
    Case(PRE_COPY, "read at=64K errno=EIO", STAYS),
    Case(PRE_COPY, "read at=64K end once", COMPLETED),
    Case(PRE_COPY, "read at=64K stall=2000 once", COMPLETED),
    Case(PRE_COPY, "read rate=4M", COMPLETED),
    Case(PRE_COPY, "read errno=ENOMSG probability=30", COMPLETED),
    Case(PRE_COPY, "read short=4096", COMPLETED),
    Case(PRE_COPY, "read at=20 flip=3", STAYS),
    Case(PRE_COPY, "read at=64K errno=ENOTRECOVERABLE once", STAYS),
    Case(PRE_COPY, "precopy stuck", COMPLETED),
    Case(PRE_COPY, "precopy initial=0", COMPLETED),
    Case(PRE_COPY, "precopy dirty=0", COMPLETED),
    Case(PRE_COPY, "precopy jump=1G nth=3", COMPLETED),
    Case(PRE_COPY, "precopy grow=1M", COMPLETED),
    Case(PRE_COPY, "precopy reinit once", COMPLETED),
    Case(PRE_COPY, "precopy errno=EIO", STAYS),
    Case(PRE_COPY, "log-report errno=EIO", STAYS),
    Case(PRE_COPY, "log-report all", COMPLETED),
    # No VMM can know of it: it shows that this scenario does
    Case(PRE_COPY, "log-report forget=10", LOST),
    Case(PRE_COPY, "write record=first refuse", STAYS, True),
    Case(PRE_COPY, "write at=64K errno=EIO", STAYS, True),
    Case(PRE_COPY, "write at=64K stall=2000 once", COMPLETED, True),
    Case(PRE_COPY, "write rate=4M", COMPLETED, True),
    Case(PRE_COPY, "write short=4096", COMPLETED, True),
    Case(SWITCHOVER, "arc PRE_COPY->PRE_COPY_P2P errno=EIO", STAYS),
    Case(SWITCHOVER, "arc PRE_COPY_P2P->STOP_COPY errno=EIO", STAYS),
    Case(SWITCHOVER, "arc PRE_COPY_P2P->STOP_COPY error", STAYS),
    Case(SWITCHOVER, "arc PRE_COPY_P2P->STOP_COPY delay=2000", COMPLETED),
    Case(SWITCHOVER, "arc PRE_COPY_P2P->STOP_COPY reset", STAYS),
    Case(SWITCHOVER, "read record=last errno=EIO", STAYS),
    Case(SWITCHOVER, "read record=last stall=2000 once", COMPLETED),
    Case(SWITCHOVER, "read record=last end", STAYS),
    Case(SWITCHOVER, "write record=last refuse", STAYS, True),
    Case(SWITCHOVER, "arc STOP_COPY->STOP errno=EIO", COMPLETED),
    Case(RESUMING, "arc RESUMING->STOP delay=2000", COMPLETED, True),
    Case(RESUMING, "arc RESUMING->STOP errno=EIO", STAYS, True),
    Case(RESUMING, "arc STOP->RUNNING_P2P errno=EIO", STAYS, True),
    Case(RESUMING, "arc RUNNING_P2P->RUNNING error", STAYS, True),
    *(Case(ALL, f"profile {name}", COMPLETED) for name in PROFILES),
    # The LBAs that the guest has filled
    Case(ALL, "dirty 16777216 0 32767", COMPLETED),
    Case(ALL, "dirty_memory 8388608 4096", COMPLETED),
    Case(ALL, on_disk("error"), COMPLETED),
    Case(ALL, on_disk("hang"), COMPLETED),
    Case(ALL, "fatal", COMPLETED),
    Case(ALL, "link down", COMPLETED, nic=True),
)

# One of each side and time
SHORT = ("read at=64K errno=EIO", "arc PRE_COPY_P2P->STOP_COPY errno=EIO",
         "write record=last refuse")


# A warning of every QEMU with a VF that nobody tracks
USUAL = "doesn't support device and IOMMU dirty tracking"

# What a VF is at that takes no part in a migration
AT_REST = ["state RUNNING", "session none"]
# The data fds of a process
DATA_FDS = ("anon_inode:[vfmig-save]", "anon_inode:[vfmig-load]")


def follow(source: Qemu) -> tuple[str, str]:
    """Waits for the end of a migration that may have none; returns QEMU's status, and its
    reason.  One that hangs is called off."""
    deadline = time.monotonic() + PATIENCE
    status = ""
    while time.monotonic() < deadline:
        state = source.migration()
        status = state.get("status", "none")
        if status in ("completed", "failed", "cancelled"):
            return status, state.get("error-desc", "")
        time.sleep(0.2)
    source.qmp.command("migrate_cancel")
    while source.migration()["status"] != "cancelled":
        if time.monotonic() > deadline + PATIENCE:
            raise Failure(f"a migration that hangs, {status}, can't be called off")
        time.sleep(0.2)
    return HANGS, f"{status} for {PATIENCE:.0f} s"


def runs(qemu: Qemu) -> bool:
    """Does the guest run there, at once or a little later?"""
    deadline = time.monotonic() + PATIENCE
    while qemu.process.poll() is None and time.monotonic() < deadline:
        if qemu.running():
            return True
        time.sleep(0.2)
    return False


def words(side: str, lines: list[str]) -> Iterator[str]:
    """What QEMU said, without its name and without what it always says."""
    for line in lines:
        if USUAL not in line:
            yield f"{side}: {re.sub(r'^[^ ]*qemu-system-x86_64: ', '', line)}"


def data_fds(qemu: Qemu) -> int:
    links = []
    for entry in Path(f"/proc/{qemu.process.pid}/fd").iterdir():
        # It may be closed by now
        with suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return sum(link in DATA_FDS for link in links)


def at(vf: Vf) -> list[str]:
    """Where the migration of a VF stands."""
    return (DRIVER / vf.address / "migration").read_text().splitlines()


def left_of_it(qemu: Qemu, vf: Vf) -> Iterator[str]:
    """What a migration that is over has left at the QEMU where the guest is."""
    deadline = time.monotonic() + CLEANUP
    while True:
        where = at(vf)
        fds = data_fds(qemu)
        if (where == AT_REST and not fds) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if where != AT_REST:
        yield f"{vf.address}: {', '.join(where)}"
    if fds:
        yield f"{qemu.name}: {fds} data fds are open"


def end(qemu: Qemu, vf: Vf) -> Iterator[str]:
    """Ends a QEMU without a guest."""
    if not qemu.quit():
        yield f"{qemu.name} had to be killed"
    where = at(vf)
    if where != AT_REST:
        yield f"{vf.address}, closed: {', '.join(where)}"


def once_more(tour: Tour, mode: Mode, result: Result) -> str:
    """A migration without a fault; returns what it came to.  The guest is somewhere after it."""
    source, timeline = tour.guest.qemu, Timeline(NAME)
    _, destination = begin(tour, mode, timeline)
    status, _ = follow(source)
    if status == COMPLETED:
        result.status = status
        welcome(tour, mode, result, timeline, destination)
    elif runs(source):
        destination.quit()
    else:
        raise Failure("the guest runs nowhere")
    return status


def misbehaves(case: Case, fault: Fault, behaviour: Behaviour, tour: Tour, mode: Mode,
               result: Result, timeline: Timeline) -> None:
    """A migration with the fault, and then one without if the guest has not moved."""
    fault.prepare(tour, mode)
    source, here_vf, there_vf = tour.guest.qemu, tour.vfs[0], tour.other_vfs[0]
    spoken = len(source.log_lines())
    with fault.set(tour, there_vf if case.destination else here_vf):
        _, destination = begin(tour, mode, timeline)
        status, behaviour.reason = follow(source)
        there = status == COMPLETED and runs(destination)
        here = status != COMPLETED and runs(source)
    behaviour.happened = fault.happened
    if not behaviour.happened:
        behaviour.outcome = NEVER
    elif there:
        behaviour.outcome = COMPLETED
    elif here:
        behaviour.outcome = HANGS if status == HANGS else STAYS
    if there:
        behaviour.left = [*left_of_it(destination, there_vf), *end(source, here_vf)]
    elif here:
        behaviour.left = [*left_of_it(source, here_vf), *end(destination, there_vf)]
    # A QEMU says why when its migration is over already
    behaviour.words = [*words("source", source.log_lines()[spoken:]),
                       *words("destination", destination.log_lines())]
    if there:
        settle(tour, timeline, destination)
        fault.check(tour.guest)
        result.status = status
    elif here:
        fault.check(tour.guest)
        behaviour.again = once_more(tour, mode, result)
    else:
        raise Failure("the guest runs nowhere")


def row(tour: Tour, case: Case, result: Result) -> Step:
    """One fault.  If the guest or some of its data is gone, that is what it came to."""
    behaviour = result.behaviour
    assert behaviour
    fault = fault_of(case.fault)

    def move(tour: Tour, mode: Mode, result: Result, timeline: Timeline) -> None:
        misbehaves(case, fault, behaviour, tour, mode, result, timeline)

    try:
        migrate(tour, result, move, PATIENT, TRAFFIC if tour.nics else DIRTYING)
        # What the guest's kernel says of it is shown: a driver may have to recover
        if result.error or result.errors() > result.guest_errors:
            behaviour.outcome = LOST
        # The next row is not to have this one's messages, nor its VF
        if result.error or result.errors() or behaviour.again not in ("", COMPLETED):
            tour.lab.end_tour()
    finally:
        fault.end()
    # No picture: there were two migrations, or none
    return result, None


def applies(case: Case, tour: Tour, emulator: Emulator) -> bool:
    """Will QEMU come to this fault?"""
    tracking = tour.combination.wiring.tracking
    if case.fault.startswith("log-"):
        return tracking == "device"
    if case.fault.startswith("dirty_memory "):
        return tracking != "none"
    return "reinit" not in case.fault or (emulator.knows_reinit and linux_knows_reinit())


def case_tour(lab: Lab, case: Case, emulator: Emulator) -> Tour:
    """A guest with a VF of the kind that has this fault."""
    if case.nic:
        return nic_tour(lab, NAME, 1, (emulator, emulator))
    return one_vf_tour(lab, NAME, (emulator, emulator))


def with_patience(lab: Lab, emulator: Emulator, case: Case) -> Optional[Step]:
    """One fault, if QEMU comes to it.  An emulated processor may lose a guest (see
    Documentation/testing.rst): then it is begun again, once, and not all rows before it."""
    chances = 2 if os.environ.get("VFMIG_ACCEL") == "tcg" else 1
    while True:
        chances -= 1
        behaviour = Behaviour(case.when, case.side, case.fault, case.best, LOST)
        result = Result(f"{NAME}: {case.fault}", behaviour=behaviour)
        try:
            tour = case_tour(lab, case, emulator)
            return row(tour, case, result) if applies(case, tour, emulator) else None
        except GuestLost as failure:
            if not chances:
                result.error, behaviour.outcome = str(failure), LOST
                return result, None
            lab.progress(f"{result.scenario}: the guest was lost, once more: {failure}")
            lab.lost_guests.append(result.scenario)


def rows(lab: Lab, emulators: list[Emulator], cases: Iterable[Case]) -> Iterator[Step]:
    chosen = [case for case in cases if not lab.faults or case.fault in lab.faults]
    for emulator, case in product(emulators, chosen):
        if step := with_patience(lab, emulator, case):
            yield step


def misbehave(lab: Lab) -> Iterator[Step]:
    """Every fault, or those that were asked for, in the hands of each QEMU."""
    return rows(lab, lab.emulators, CASES)


def misbehave_short(lab: Lab) -> Iterator[Step]:
    """Some of them, in the hands of the first QEMU."""
    return rows(lab, lab.emulators[:1], [case for case in CASES if case.fault in SHORT])
