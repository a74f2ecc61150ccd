# SPDX-License-Identifier: GPL-2.0-only
"""What notes the guest memory that a device writes, or what changes of its own memory, turned on
and off beside a QEMU.

QEMU does so for a migration only, where it has KVM note what the guest itself writes as
well, which costs the guest much more.  So its file descriptors are duplicated, and the
requests made here: QEMU knows nothing of it, and while the guest does not migrate it makes
none of its own.  The numbers and structs are those of linux/vfio.h and linux/iommufd.h.
"""

import ctypes
import errno
import fcntl
import os
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Iterator

from . import Failure

PAGE = 4096

# No libc of Debian 12 has a function for it; on all architectures the same number
SYS_PIDFD_GETFD = 438

# _IO(';', 100 + 17).  struct vfio_device_feature: argsz, flags (what is asked and of which
# feature), then that feature's own struct
VFIO_DEVICE_FEATURE = 0x3b75
FEATURE_HEADER = struct.Struct("=II")
FEATURE_GET = 1 << 16
FEATURE_SET = 1 << 17
MIG_DEVICE_STATE = 2
DMA_LOGGING_START, DMA_LOGGING_STOP, DMA_LOGGING_REPORT = 6, 7, 8
# vfio_device_feature_mig_state: device_state, data_fd
MIG_STATE = struct.Struct("=Ii")
STATE_RUNNING, STATE_PRE_COPY = 2, 6
# _IO(';', 100 + 21).  struct vfio_precopy_info: argsz, flags, initial_bytes, dirty_bytes
VFIO_MIG_GET_PRECOPY_INFO = 0x3b79
PRECOPY_INFO = struct.Struct("=IIQQ")
# vfio_device_feature_dma_logging_control: page_size, num_ranges, reserved, ranges
LOGGING_CONTROL = struct.Struct("=QIIQ")
# ..._range: iova, length
LOGGING_RANGE = struct.Struct("=QQ")
# ..._report: iova, length, page_size, bitmap
LOGGING_REPORT = struct.Struct("=QQQQ")

# Bytes of device memory at a time
READ = 1 << 20

# _IO(';', 0x8b) and the next
IOMMU_HWPT_SET_DIRTY_TRACKING, IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8b, 0x3b8c
# struct iommu_hwpt_set_dirty_tracking: size, flags, hwpt_id, reserved
SET_DIRTY_TRACKING = struct.Struct("=IIII")
TRACKING_ENABLE = 1
# struct iommu_hwpt_get_dirty_bitmap: size, hwpt_id, flags, reserved, iova, length,
# page_size, data
GET_DIRTY_BITMAP = struct.Struct("=IIIIQQQQ")
# Every object of an iommufd has a number, from 1 on: QEMU makes three or four of them
MAX_OBJECTS = 64


class Tracker:
    """One who notes what the device writes into the guest's memory, which is so many bytes
    from IOVA 0 on: in one piece, as it is below the hole under 4 GiB."""

    def __init__(self, name: str, memory: int):
        self.name = name
        self._memory = memory

    def _switch(self, on: bool) -> None:
        raise NotImplementedError

    def _report(self, bitmap: int) -> None:
        """Adds to a bitmap, at an address, what was written since the last time."""
        raise NotImplementedError

    def _pages(self) -> int:
        bits = ctypes.create_string_buffer((self._memory // PAGE + 63) // 64 * 8)
        self._report(ctypes.addressof(bits))
        return int.from_bytes(bits.raw, "little").bit_count()

    def switch(self, on: bool) -> None:
        """Begins to note, or ends."""
        try:
            self._switch(on)
        except OSError as error:
            raise Failure(f"{self.name} does not {'begin' if on else 'cease'} to note: "
                          f"{error.strerror}") from error

    def report(self) -> int:
        """How many pages were written since the last time."""
        try:
            return self._pages()
        except OSError as error:
            raise Failure(f"{self.name} does not report: {error.strerror}") from error

    def off(self) -> bool:
        """Is nothing noted?  Then a report is refused; by the IOMMU's driver too, of which
        iommufd makes one that succeeds, with no page in it."""
        try:
            return not self._pages()
        except OSError as error:
            return error.errno == errno.EINVAL


def feature(device: int, flags: int, payload: bytes = b"") -> bytes:
    """Gets or sets a feature of a VFIO device.  Returns what the kernel has made of the payload."""
    header = FEATURE_HEADER.pack(FEATURE_HEADER.size + len(payload), flags)
    # The kernel writes back, so it must be a buffer that can be written
    buffer = bytearray(header + payload)
    fcntl.ioctl(device, VFIO_DEVICE_FEATURE, buffer)
    return bytes(buffer[FEATURE_HEADER.size:])


class DeviceLog(Tracker):
    """DMA logging by the device itself."""

    def __init__(self, device: int, memory: int):
        super().__init__("the device", memory)
        self._device = device

    def _switch(self, on: bool) -> None:
        if not on:
            feature(self._device, FEATURE_SET | DMA_LOGGING_STOP)
            return
        ranges = ctypes.create_string_buffer(LOGGING_RANGE.pack(0, self._memory))
        feature(self._device, FEATURE_SET | DMA_LOGGING_START,
                LOGGING_CONTROL.pack(PAGE, 1, 0, ctypes.addressof(ranges)))

    def _report(self, bitmap: int) -> None:
        feature(self._device, FEATURE_GET | DMA_LOGGING_REPORT,
                LOGGING_REPORT.pack(0, self._memory, PAGE, bitmap))


class Session(Tracker):
    """A PRE_COPY session, which notes what changes of the device's own memory.  Each one begins
    with all of it, and a reader gets that first."""

    def __init__(self, device: int):
        super().__init__("a session", 0)
        self._device = device
        self._data = -1

    def _switch(self, on: bool) -> None:
        state = STATE_PRE_COPY if on else STATE_RUNNING
        answer = feature(self._device, FEATURE_SET | MIG_DEVICE_STATE, MIG_STATE.pack(state, -1))
        if on:
            _, self._data = MIG_STATE.unpack(answer)
            self._read_all()
        else:
            os.close(self._data)
            self._data = -1

    def _read_all(self) -> None:
        """What the guest changes counts as dirty only after it was read once."""
        try:
            while os.read(self._data, READ):
                pass
        except OSError as error:
            if error.errno != errno.ENOMSG:
                raise

    def _pages(self) -> int:
        info = bytearray(PRECOPY_INFO.pack(PRECOPY_INFO.size, 0, 0, 0))
        fcntl.ioctl(self._data, VFIO_MIG_GET_PRECOPY_INFO, info)
        return PRECOPY_INFO.unpack(info)[3] // PAGE

    def off(self) -> bool:
        state, _ = MIG_STATE.unpack(feature(self._device, FEATURE_GET | MIG_DEVICE_STATE,
                                            MIG_STATE.pack(0, -1)))
        return self._data < 0 and state == STATE_RUNNING


class IommuTracking(Tracker):
    """Dirty tracking by the IOMMU's page table of the guest."""

    def __init__(self, iommufd: int, memory: int):
        super().__init__("the IOMMU", memory)
        self._iommufd = iommufd
        self._hwpt = next(self._page_tables(), 0)
        if not self._hwpt:
            raise Failure("QEMU has no page table of the IOMMU's that tracks")

    def _set(self, hwpt: int, flags: int) -> None:
        fcntl.ioctl(self._iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING,
                    SET_DIRTY_TRACKING.pack(SET_DIRTY_TRACKING.size, flags, hwpt, 0))

    def _page_tables(self) -> Iterator[int]:
        """Numbers of objects that can be told not to track."""
        for number in range(1, MAX_OBJECTS + 1):
            try:
                self._set(number, 0)
            except OSError:
                continue
            yield number

    def _switch(self, on: bool) -> None:
        self._set(self._hwpt, TRACKING_ENABLE if on else 0)

    def _report(self, bitmap: int) -> None:
        fcntl.ioctl(self._iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP,
                    GET_DIRTY_BITMAP.pack(GET_DIRTY_BITMAP.size, self._hwpt, 0, 0,
                                          0, self._memory, PAGE, bitmap))


class Files:
    """Duplicates of a process's file descriptors.  While there are any, what they are of
    stays open, even if the process ends."""

    def __init__(self, process: int):
        self._process = process
        self._stack = ExitStack()

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, wanted: Callable[[str], bool], what: str) -> int:
        """A duplicate of the first one whose path is wanted."""
        directory = Path(f"/proc/{self._process}/fd")
        for entry in sorted(directory.iterdir(), key=lambda path: int(path.name)):
            if wanted(os.readlink(entry)):
                return self._duplicate(int(entry.name))
        raise Failure(f"process {self._process} has no {what} open")

    def _duplicate(self, number: int) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        process = os.pidfd_open(self._process)
        try:
            file = libc.syscall(SYS_PIDFD_GETFD, process, number, 0)
        finally:
            os.close(process)
        if file < 0:
            error = os.strerror(ctypes.get_errno())
            raise Failure(f"file descriptor {number} of QEMU can't be duplicated: {error}")
        self._stack.callback(os.close, file)
        return file

    def device(self) -> int:
        """Of the first device's VFIO cdev."""
        return self.find(lambda path: path.startswith("/dev/vfio/devices/"), "VFIO device")

    def iommufd(self) -> int:
        return self.find(lambda path: path == "/dev/iommu", "iommufd")
