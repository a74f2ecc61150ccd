# SPDX-License-Identifier: GPL-2.0-only
"""What is migrated, and how.

A scenario is a function that takes a Lab and yields one Result for each migration, its
Timeline beside it; SCENARIOS has them by name.  All of them go through carry_over()
and differ in the VFs, in the guest's load, in how it leaves and in the Mode.  One whose
guest is lost ends with GuestLost, and can be begun again.
"""

import os
from typing import Callable, Iterator

from . import LeftOut
from .carry import DIRTYING, IDLE, MEDIA_MB, Load, Mode, cancel, live, snapshot
from .combination import TRACKED, UNTRACKED, Wiring, linux_knows_reinit, wirings
from .cpus import vcpus
from .crossing import crossing
from .dpdk import dpdk
from .firmware import bios, uefi
from .fresh import fresh_vf
from .killed import killed
from .late import reinit
from .mapped import mapped
from .misbehave import misbehave, misbehave_short
from .net import net_across, net_and_nvme, net_flood, net_killed, net_queues4, net_vf
from .paused import paused
from .place import snapshot_in_place
from .plugging import fresh_identity, hotplug
from .pxe import net_pxe
from .refused import refused
from .resets import resets
from .result import Result
from .soak import soak
from .step import PRECOPY, Step, migrate, one_vf_tour
from .tour import Lab
from .two_hosts import two_hosts, two_hosts_short
from .user_space import user_space_driver

# So slow that there is a half-way
SLOW = Mode("precopy", {"return-path": True, "switchover-ack": True},
            {"max-bandwidth": 32 << 20})
# A file has nobody who could answer
FILE = Mode("precopy to file")
# QEMU has no switch for PRE_COPY.  With a limit that any guest meets it stops the guest at
# its first look, after 0.1 s, in which a low bandwidth lets through next to nothing.
STOPCOPY = Mode("stop-copy", {"return-path": True},
                {"max-bandwidth": 1 << 20, "avail-switchover-bandwidth": 1 << 40,
                 "downtime-limit": 100000})
# What PRE_COPY sends takes the main channel, and the rest goes over others: all, or some
CHANNELS = {"multifd-channels": 2}
MULTIFD = Mode("stop-copy, multifd", {"return-path": True, "multifd": True},
               {**STOPCOPY.parameters, **CHANNELS})
MULTIFD_PRECOPY = Mode("precopy, multifd", {**PRECOPY.capabilities, "multifd": True}, CHANNELS)

MEASURED_MB = 1024
# What carry_over() doesn't use, of such a medium
FILLED = (64, MEASURED_MB - 64)
FILL_SEED = 0x5eed
# 4 KiB, random, over more than is dirtied in one pass of QEMU
MEASURED_LOAD = Load("300 writes/s", (16, 8), 300)


def one_vf(lab: Lab) -> Iterator[Step]:
    """A guest with one VF that does what I/O it can."""
    yield migrate(one_vf_tour(lab, "one-vf"), Result("one-vf"), live, PRECOPY)


def dirtying(lab: Lab) -> Iterator[Step]:
    """A guest that keeps dirtying the disk, at a fixed rate."""
    yield migrate(one_vf_tour(lab, "dirtying"), Result("dirtying"), live, PRECOPY, DIRTYING)


def multifd(lab: Lab) -> Iterator[Step]:
    """STOP_COPY data goes over channels of its own: all there is, then after PRE_COPY."""
    tour = one_vf_tour(lab, "multifd")
    step = migrate(tour, Result("multifd"), live, MULTIFD)
    yield step
    if step[0].good():
        yield migrate(tour, Result("multifd"), live, MULTIFD_PRECOPY)


def cancelled(lab: Lab) -> Iterator[Step]:
    """A migration is called off half-way, and repeated to a new destination."""
    tour = one_vf_tour(lab, "cancel")
    step = migrate(tour, Result("cancel", expected="cancelled"), cancel, SLOW)
    yield step
    if step[0].good():
        yield migrate(tour, Result("cancel, again"), live, PRECOPY)


def to_file(lab: Lab) -> Iterator[Step]:
    """A snapshot: into a file, and out of it again."""
    yield migrate(one_vf_tour(lab, "snapshot"), Result("snapshot"), snapshot, FILE)


def two_vfs(lab: Lab) -> Iterator[Step]:
    """A guest with two VFs, which QEMU takes through the P2P states together."""
    lab.set_vfs(4, MEDIA_MB)
    tour = lab.tour("two-vfs", [lab.vfs[0:2], lab.vfs[2:4]])
    yield migrate(tour, Result("two-vfs"), live, PRECOPY)


def newest(lab: Lab) -> Iterator[Step]:
    """As one-vf, between QEMUs of the last kind."""
    if len(lab.emulators) < 2:
        raise LeftOut("there is but one QEMU")
    emulator = lab.emulators[-1]
    tour = one_vf_tour(lab, "newest", (emulator, emulator))
    yield migrate(tour, Result("newest"), live, PRECOPY)


def across(wiring: Wiring) -> "Scenario":
    """From the first kind of QEMU to the last and back, in one way to wire a VF."""
    def scenario(lab: Lab) -> Iterator[Step]:
        if wiring not in wirings():
            raise LeftOut(f"Linux {os.uname().release} has no IOMMUFD")
        tour = one_vf_tour(lab, wiring.name, (lab.emulators[0], lab.emulators[-1]), wiring)
        for _ in range(2):
            step = migrate(tour, Result(wiring.name), live, PRECOPY)
            yield step
            if not step[0].good():
                return
    return scenario


def resized(lab: Lab) -> Iterator[Step]:
    """The medium gets another size when it is too late; then the guest moves all the same."""
    emulator = lab.emulators[-1]
    if not emulator.knows_reinit:
        raise LeftOut(f"QEMU {emulator} does not know VFIO_PRECOPY_INFO_REINIT")
    if not linux_knows_reinit():
        raise LeftOut(f"Linux {os.uname().release} has no VFIO_PRECOPY_INFO_REINIT")
    tour = one_vf_tour(lab, "reinit", (emulator, emulator))
    try:
        step = migrate(tour, Result("reinit", expected="failed"), reinit, PRECOPY)
        yield step
        if step[0].good():
            # Only a medium of the same size takes it
            for vf in lab.vfs:
                vf.resize(MEDIA_MB + 1)
            yield migrate(tour, Result("reinit, again"), live, PRECOPY)
    finally:
        lab.discard_vfs()


def downtime(lab: Lab) -> Iterator[Step]:
    """Measures: a medium of 1 GiB, fully written, with PRE_COPY and without."""
    lab.set_vfs(2, MEASURED_MB)
    tour = lab.tour("downtime", [[lab.vfs[0]], [lab.vfs[1]]])
    lab.progress(f"guest fills its disk of {MEASURED_MB} MiB")
    for disk in tour.disks:
        disk.fill(0, MEASURED_MB, FILL_SEED)
    for load in (IDLE, MEASURED_LOAD):
        for mode in (STOPCOPY, PRECOPY):
            result, timeline = migrate(tour, Result("downtime"), live, mode, load)
            last = load is MEASURED_LOAD and mode is PRECOPY
            if last and result.good():
                lab.progress("guest verifies its whole disk")
                for disk in tour.disks:
                    verified = disk.verify(*FILLED, FILL_SEED, "1m")
                    result.io_bytes_verified += verified.read
                    result.io_verify_errors += verified.errors
            yield result, timeline
            if not result.good():
                return


Scenario = Callable[[Lab], Iterator[Step]]

# Run by name only: with them all would take longer than anyone waits for
BY_NAME: dict[str, Scenario] = {
    "newest": newest,
    "fresh-identity": fresh_identity,
    "hotplug": hotplug,
    "fresh-vf": fresh_vf,
    "resets": resets,
    "killed": killed,
    "paused": paused,
    "refused": refused,
    "snapshot-in-place": snapshot_in_place,
    "vcpus": vcpus,
    "crossing": crossing,
    "mapped": mapped,
    "firmware": bios,
    "uefi": uefi,
    "misbehave": misbehave,
    "misbehave-short": misbehave_short,
    "net-flood": net_flood,
    "net-killed": net_killed,
    "net-pxe": net_pxe,
    "dpdk": dpdk,
    **{f"net-{wiring.name}": net_across(wiring) for wiring in (UNTRACKED, *TRACKED)},
    "downtime": downtime,
    "soak": soak,
    "user-space-driver": user_space_driver,
    "two-hosts": two_hosts,
    "two-hosts-short": two_hosts_short,
}

SCENARIOS: dict[str, Scenario] = {
    "one-vf": one_vf,
    "dirtying": dirtying,
    "multifd": multifd,
    "cancel": cancelled,
    "snapshot": to_file,
    "two-vfs": two_vfs,
    **{wiring.name: across(wiring) for wiring in (UNTRACKED, *TRACKED)},
    "reinit": resized,
    "net-vf": net_vf,
    "net-queues4": net_queues4,
    "net-and-nvme": net_and_nvme,
    **BY_NAME,
}
