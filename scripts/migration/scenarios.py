# SPDX-License-Identifier: GPL-2.0-only
"""What is migrated, and what must hold afterwards.

A scenario is a function that takes a Lab and yields one Result for each
migration; SCENARIOS has them by name.  All of them go through carry_over(),
which keeps the guest's disks busy and verifies them before, during and after,
and differ in the VFs, in the guest's load and in the Mode: how QEMU migrates.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

from . import Failure
from .guest import Disk, Guest, Verified
from .host import Vf
from .qemu import Qemu

# Regions of a disk in MiB: offset and size
BEFORE = (0, 16)
DURING = (16, 2)
AFTER = (48, 4)
MEDIA_MB = 64

# Each migration of a guest has so many seeds of its own, so that no old data passes
SEEDS = 1 << 16

TIMEOUT = 300


@dataclass
class Result:
    """One migration; the fields are those of summary.json."""
    scenario: str
    status: str = "not run"
    mode: str = ""
    device_bytes: int = 0
    downtime_ms: int = 0
    total_ms: int = 0
    io_bytes_verified: int = 0
    io_verify_errors: int = 0
    guest_errors: int = 0
    guest_messages: list[str] = field(default_factory=list)
    error: str = ""

    def good(self) -> bool:
        return (self.status == "completed" and not self.error and self.io_bytes_verified > 0
                and not self.io_verify_errors and not self.guest_errors)


@dataclass
class Mode:
    """How QEMU migrates: capabilities on both sides, parameters of the source."""
    name: str
    capabilities: dict[str, bool] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


# The kernel can't say which guest memory the VF dirtied, so QEMU counts all of it
# as dirty: no ordinary downtime limit is ever met, and this one is no promise.
STOP_COPY = Mode("stop-copy",
                 {"return-path": True, "events": True},
                 {"max-bandwidth": 0, "downtime-limit": 60000})


@dataclass
class Lab:
    """What scenarios work with."""
    image: Path
    logs: Path
    run: Path
    vfs: list[Vf]
    progress: Callable[[str], None]

    def boot(self, stack: ExitStack, name: str, vfs: list[Vf], **options: Any) -> Qemu:
        qemu = Qemu(name, self.image, self.logs, self.run, vfs, **options)
        stack.callback(qemu.quit)
        return qemu


def migrate(lab: Lab, source: Qemu, destination: Qemu, mode: Mode, result: Result) -> None:
    """One migration over a unix socket, up to the guest running at the destination."""
    uri = f"unix:{lab.run / (destination.name + '.migrate')}"
    for qemu in (source, destination):
        qemu.set_capabilities(**mode.capabilities)
    source.set_parameters(**mode.parameters)
    destination.qmp.command("migrate-incoming", uri=uri)
    source.qmp.command("migrate", uri=uri)
    wait_end(lab, source, result)
    deadline = time.monotonic() + TIMEOUT
    while destination.qmp.command("query-status")["status"] != "running":
        if time.monotonic() > deadline:
            raise Failure(f"the guest does not run at the destination: {destination.log_tail()}")
        time.sleep(0.1)


def wait_end(lab: Lab, source: Qemu, result: Result) -> None:
    """Follows a migration until it ends, well or not, and notes its figures."""
    deadline = time.monotonic() + TIMEOUT
    last = ""
    while True:
        state = source.migration()
        result.status = state.get("status", "none")
        if result.status != last:
            lab.progress(f"migration {result.status}")
            last = result.status
        if result.status in ("completed", "failed", "cancelled"):
            break
        if time.monotonic() > deadline:
            raise Failure(f"the migration is still {result.status} after {TIMEOUT} s")
        time.sleep(0.1)
    result.downtime_ms = state.get("downtime", 0)
    result.total_ms = state.get("total-time", 0)
    result.device_bytes = state.get("vfio", {}).get("transferred", 0)
    if result.status != "completed":
        raise Failure(f"migration {result.status}: "
                      f"{state.get('error-desc') or source.log_tail()}")


def find_disks(guest: Guest, count: int) -> list[Disk]:
    disks = [Disk(guest, f"/dev/nvme{number}n1") for number in range(count)]
    for disk in disks:
        guest.wait_for(f"[ -b {disk.device} ]", disk.device)
    return disks


def carry_over(lab: Lab, guest: Guest, destination: Qemu, disks: list[Disk], seed: int,
               mode: Mode, result: Result) -> None:
    """Moves the guest to the destination under I/O and verifies everything that it
    wrote before, during and after."""
    result.mode = mode.name
    total = Verified()

    lab.progress("guest writes and verifies, then keeps writing")
    for disk in disks:
        total += disk.write(*BEFORE, seed, "32k")
        disk.start_loop(*DURING, seed)
    for disk in disks:
        disk.busy()

    there = destination.agent_socket()
    source = guest.qemu
    try:
        migrate(lab, source, destination, mode, result)
    except Failure:
        there.close()
        raise
    guest.move(destination, there)
    source.quit()

    lab.progress("guest runs at the destination, verifies all")
    # The pass that was under way when the guest moved, and one begun after that
    passes = [disk.passes() for disk in disks]
    for disk, number in zip(disks, passes):
        disk.wait_pass(number + 2)
    for disk in disks:
        total += disk.stop_loop()
        total += disk.verify(*BEFORE, seed, "32k")
        total += disk.write(*AFTER, seed + 1)

    result.io_bytes_verified = total.read
    result.io_verify_errors = total.errors
    result.guest_messages = guest.kernel_errors()
    result.guest_errors = len(result.guest_messages)


def ping_pong(lab: Lab, scenario: str, sides: list[list[Vf]], repeat: int,
              mode: Mode) -> Iterator[Result]:
    """Boots a guest on the first side and moves it repeat times between the two,
    each time to a destination process of its own."""
    with ExitStack() as stack:
        result = Result(scenario)
        try:
            lab.progress(f"guest boots with {', '.join(vf.address for vf in sides[0])}")
            guest = Guest(lab.boot(stack, f"{scenario}-0", sides[0]))
            disks = find_disks(guest, len(sides[0]))
            for number in range(1, repeat + 1):
                side = sides[number % 2]
                lab.progress(f"migration {number} of {repeat}, "
                             f"to {', '.join(vf.address for vf in side)}")
                destination = lab.boot(stack, f"{scenario}-{number}", side, incoming=True)
                carry_over(lab, guest, destination, disks, number * SEEDS, mode, result)
                yield result
                result = Result(scenario)
        except Failure as failure:
            if result.status in ("not run", "completed"):
                result.status = "failed"
            result.error = str(failure)
            yield result


def one_vf(lab: Lab, repeat: int) -> Iterator[Result]:
    """A guest with one VF."""
    yield from ping_pong(lab, "one-vf", [[lab.vfs[0]], [lab.vfs[1]]], repeat, STOP_COPY)


def two_vfs(lab: Lab, _repeat: int) -> Iterator[Result]:
    """A guest with two VFs, which QEMU takes through the P2P states together."""
    yield from ping_pong(lab, "two-vfs", [lab.vfs[0:2], lab.vfs[2:4]], 1, STOP_COPY)


SCENARIOS = {"one-vf": one_vf, "two-vfs": two_vfs}
