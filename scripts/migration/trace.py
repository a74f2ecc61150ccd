# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU's traces say of a migration.

EVENTS are those that are asked for: all of them come at most once per MiB of data,
while "vfio_*" would be every access to a BAR.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Optional

EVENTS = (
    "iommufd_backend_set_dirty",
    "vfio_*_dirty_bitmap",
    "vfio_device_dirty_tracking_start",
    "vfio_migration_set_state",
    "vfio_migration_set_device_state",
    "vfio_save_block",
    "vfio_save_complete_precopy_*",
    "vfio_save_iterate",
    "vfio_state_pending*",
    "vmstate_downtime_checkpoint",
    "vmstate_downtime_save",
)

# QEMU 10: thread and seconds; QEMU 11: time of day, UTC
LINE = re.compile(r"(?:\d+@(\d+\.\d+):|(\d{4}-\S+)Z )(\w+)\s+(.*)")
STATE = re.compile(r"\((\S+)\) state (\w+)")
LEFT = re.compile(r"\((\S+)\).* initial size (\d+),? precopy dirty size (\d+)")
BLOCK = re.compile(r"\((\S+)\) data_size (\d+)")
DOWNTIME = re.compile(r"type=\S+ idstr=(\S+) .*downtime=(\d+)")
DIRTY_PAGES = re.compile(r"dirty_pages=(\d+)")
DEVICE = re.compile(r"\((\S+)\)")

PRE_COPY = ("PRE_COPY", "PRE_COPY_P2P")


@dataclass
class Device:
    """One VF, as one QEMU saw it.  Times are seconds of the host's clock."""
    states: list[tuple[float, str]] = field(default_factory=list)
    # Bytes of initial and of dirty data that QEMU knew to be unread
    left: list[tuple[float, int, int]] = field(default_factory=list)
    precopy_bytes: int = 0
    # Number of reads that returned data
    reads: int = 0
    # What STOP_COPY moved, read by read
    stopcopy: list[tuple[float, int]] = field(default_factory=list)
    iterations: int = 0
    # When multifd's thread began and ended to read what STOP_COPY had
    thread: list[float] = field(default_factory=list)
    # Initial bytes that were unread when the guest stopped; None if it never did
    initial_at_stop: Optional[int] = None

    def state(self) -> str:
        return self.states[-1][1] if self.states else "RUNNING"


def seconds(match: re.Match[str]) -> float:
    """When a LINE was written."""
    return float(match[1]) if match[1] else datetime.fromisoformat(f"{match[2]}+00:00").timestamp()


class Trace:
    """The migration that began at a time, in one QEMU's trace file."""

    def __init__(self, path: Path, begin: float):
        self.devices: dict[str, Device] = {}
        # From here to here the guest stands still, as far as this QEMU can tell
        self.stopped: Optional[float] = None
        self.resumed: Optional[float] = None
        # Who tracked what the devices wrote into guest memory, and how many pages (of
        # 4 KiB) QEMU was told of, all in all
        self.tracking = "none"
        self.dma_dirty_pages = 0
        self._downtime_us = 0
        for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
            match = LINE.match(line)
            if match and seconds(match) >= begin:
                self._take(seconds(match), match[3], match[4])

    def _device(self, match: re.Match[str]) -> Device:
        return self.devices.setdefault(match[1], Device())

    def _take(self, time: float, event: str, text: str) -> None:
        if event == "vmstate_downtime_save":
            match = DOWNTIME.match(text)
            # Of a VFIO device, as opposed to one that QEMU emulates
            if match and match[1].endswith("/vfio"):
                self._downtime_us += int(match[2])
            return
        if event == "vmstate_downtime_checkpoint":
            if text == "src-downtime-start":
                self.stopped = time
            elif text == "dst-precopy-bh-vm-started":
                self.resumed = time
            return
        if event.endswith("_dirty_bitmap"):
            match = DIRTY_PAGES.search(text)
            self.dma_dirty_pages += int(match[1]) if match else 0
            return
        if event == "vfio_device_dirty_tracking_start":
            self.tracking = "device"
            return
        if event == "iommufd_backend_set_dirty":
            if "enable=1 (0)" in text:
                self.tracking = "iommu"
            return
        match = DEVICE.match(text)
        if not match:
            return
        device = self._device(match)
        if event == "vfio_migration_set_device_state":
            self._enter(device, time, text)
        elif event == "vfio_save_iterate" or event.startswith("vfio_state_pending"):
            match = LEFT.match(text)
            if match and device.state() in PRE_COPY:
                device.left.append((time, int(match[2]), int(match[3])))
            device.iterations += event == "vfio_save_iterate"
        elif event == "vfio_save_block":
            match = BLOCK.match(text)
            device.reads += 1
            if match and device.state() in PRE_COPY:
                device.precopy_bytes += int(match[2])
            elif match:
                device.stopcopy.append((time, int(match[2])))
        elif event.startswith("vfio_save_complete_precopy_thread_"):
            device.thread.append(time)

    @staticmethod
    def _enter(device: Device, time: float, text: str) -> None:
        match = STATE.match(text)
        if not match:
            return
        if match[2] in ("PRE_COPY_P2P", "STOP_COPY") and device.initial_at_stop is None:
            device.initial_at_stop = device.left[-1][1] if device.left else 0
        device.states.append((time, match[2]))

    @property
    def precopy_bytes(self) -> int:
        return sum(device.precopy_bytes for device in self.devices.values())

    @property
    def stopcopy_bytes(self) -> int:
        return sum(size for device in self.devices.values() for _, size in device.stopcopy)

    @property
    def reads(self) -> int:
        return sum(device.reads for device in self.devices.values())

    @property
    def iterations(self) -> int:
        return sum(device.iterations for device in self.devices.values())

    @property
    def initial_at_stop(self) -> int:
        return sum(device.initial_at_stop or 0 for device in self.devices.values())

    @property
    def multifd(self) -> bool:
        """Did the STOP_COPY data of all devices go over multifd's channels?"""
        return bool(self.devices) and all(device.thread for device in self.devices.values())

    @property
    def device_downtime_ms(self) -> float:
        """What the devices took of the downtime.  Multifd's threads run side by side,
        and beside the rest of the guest."""
        threads = [device.thread for device in self.devices.values() if device.thread]
        beside = max((thread[-1] - thread[0] for thread in threads), default=0.0)
        return round(self._downtime_us / 1e3 + beside * 1e3, 1)
