# SPDX-License-Identifier: GPL-2.0-only
"""A guest that libvirt moves between two hosts, as users do it.

Each step is one act, under verified I/O: a migration, or something else that takes the
state of the guest's VF.
"""

import os
import time
from typing import Iterator, Optional

from . import Failure, GuestLost, LeftOut, patience
from . import acts
from .acts import Act
from .carry import MEDIA_MB, Load, Work, note_guest
from .pair import Pair
from .result import Result
from .step import Step
from .tour import SEEDS, Lab
from .traffic import Traffic

SCENARIO = "two-hosts"
# Seconds that an act may take, with the work of its guest; and a guest until it has booted
LIMIT = patience(600)
# As fast as it goes would leave libvirt and the cable little of an emulated processor
LOAD = Load("100 writes/s", rate=100)

# The act, and how it has to end
ACTS: dict[str, tuple[Act, str]] = {
    "live": (acts.migrate(), "completed"),
    "back": (acts.migrate(), "completed"),
    "p2p": (acts.migrate_for_good, "completed"),
    "p2p-back": (acts.migrate_for_good, "completed"),
    "managedsave": (acts.managed_save, "completed"),
    "save": (acts.save_elsewhere, "completed"),
    "abort": (acts.aborted, "failed"),
    "other-size": (acts.other_size, "failed"),
    "stock-driver": (acts.stock_driver, "failed"),
    "daemon-killed": (acts.daemon_killed, "failed"),
    "cut": (acts.network_cut, "failed"),
    "cut-late": (acts.cut_at_switchover, "failed"),
    "suspended": (acts.suspended, "completed"),
    "again": (acts.migrate(), "completed"),
    "snapshot": (acts.snapshot, "completed"),
    # The guest has a NIC too
    "net": (acts.with_traffic, "completed"),
    "net-back": (acts.with_traffic, "completed"),
}
# Those of two-hosts-short
SHORT = ["live", "back"]


def describe(pair: Pair, name: str, expected: str, load: Load) -> Result:
    result = Result(f"{SCENARIO}, {name}", expected=expected, hosts=len(pair.hosts))
    result.mode, result.guest_io = f"libvirt {pair.libvirt}", load.name
    result.qemu_source = result.qemu_destination = str(pair.emulator)
    result.machine = f"pc-q35-{'.'.join(map(str, pair.emulator.version[:2]))}"
    result.iommu, result.dirty_tracking = pair.wiring.iommu, pair.wiring.tracking
    result.disks, result.media_mb = 1, MEDIA_MB
    result.qemus = [domain.name for domain in pair.domains]
    return result


def start_traffic(lab: Lab, pair: Pair, result: Result, load: Load) -> Optional[Traffic]:
    """Between the guest's NIC, if it has one, and the third host."""
    if not pair.nic or not pair.wire:
        return None
    logs = lab.logs / result.scenario.replace(", ", "-")
    return Traffic(pair.nic, pair.wire, lab.image, logs, pair.seed, load.traffic)


def note_traffic(traffic: Traffic, since: float, result: Result) -> None:
    """Ends the traffic of a guest that has announced itself since a time, and fills in its part
    of the result."""
    traffic.wait_announced(since)
    carried, pings = traffic.stop()
    begin, end = pings.gap()
    result.net_bytes_verified, result.net_errors = carried.verified, carried.errors
    result.net_messages = carried.messages
    result.net_gap_ms = round((end - begin) * 1e3, 1)
    result.net_announcements = len(pings.announcements)


def under_work(lab: Lab, pair: Pair, act: Act, load: Load, result: Result) -> None:
    """An act, under verified I/O."""
    lab.progress(f"{result.scenario}: guest on {pair.here.host} writes and verifies")
    pair.seed += SEEDS
    work = Work(pair.disks, load, pair.seed)
    traffic = start_traffic(lab, pair, result, load)
    lab.progress(result.scenario)
    since = time.time()
    act(pair, result)
    lab.progress(f"guest on {pair.here.host} verifies all")
    work.hurry()
    memory = work.memory()
    if traffic:
        note_traffic(traffic, since, result)
    note_guest(pair.guest, work.end(), memory, result)


def once(lab: Lab, pair: Pair, name: str, load: Load = LOAD) -> Step:
    """An act, with the guest that it needs."""
    act, expected = ACTS[name]
    with_nic = name.startswith("net")
    result = describe(pair, name, expected, load)
    begin = time.monotonic()
    try:
        if not pair.booted or with_nic and not pair.nic:
            with pair.clock.limit(LIMIT):
                pair.boot(with_nic)
        result.nics = result.queue_pairs = int(pair.nic is not None)
        with pair.clock.limit(LIMIT):
            under_work(lab, pair, act, load, result)
    except GuestLost:
        raise
    except Failure as failure:
        if pair.here.lost_error_code():
            raise GuestLost("QEMU lost an exception's error code") from failure
        if result.status in ("not run", expected):
            result.status = "failed" if expected == "completed" else "error"
        result.error = str(failure)
    finally:
        pair.save_logs()
    lab.progress(f"{result.scenario}: took {time.monotonic() - begin:.0f} s {result.reason}")
    return result, None


def twice(lab: Lab, pair: Pair, name: str) -> Step:
    """Once more where an emulated processor lost the guest: see migrate.py."""
    try:
        return once(lab, pair, name)
    except GuestLost as lost:
        pair.discard()
        if os.environ.get("VFMIG_ACCEL") != "tcg" or lab.lost_guests:
            raise
        lab.progress(f"{name}: the guest was lost, once more: {lost}")
        lab.lost_guests.append(f"{SCENARIO}, {name}")
        return once(lab, pair, name)


def two_hosts(lab: Lab) -> Iterator[Step]:
    """All acts, one after the other, with one guest."""
    yield from perform(lab, lab.acts or list(ACTS))


def two_hosts_short(lab: Lab) -> Iterator[Step]:
    """There and back."""
    yield from perform(lab, SHORT)


def perform(lab: Lab, names: list[str]) -> Iterator[Step]:
    if lab.alone:
        raise LeftOut(f"there is no second host: {lab.alone}")
    pair = Pair(lab)
    pair.prepare()
    try:
        for name in names:
            done = twice(lab, pair, name)
            yield done
            if not done[0].good():
                pair.discard()
    except GuestLost as lost:
        # The hosts are gone with this: it can't be begun again
        raise Failure(f"the guest was lost again: {lost}") from lost
    finally:
        pair.end()
