#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Binds a device of the (virtual) machine to the stock vfio-pci driver, maps its BARs
and accesses them, and meanwhile disables and enables memory decoding.

This shows lockdep the order in which VFIO's memory_lock and mmap_lock are taken.  The
BARs of the simulated VFs can't be mapped, so their tests never show it.  Run this before
the tests, in the same boot.  The kernel debug (scripts/kernel) has lockdep.

In the test VM, with scripts/vm --qemu-arg -device --qemu-arg intel-iommu
--append intel_iommu=on --qemu-arg -device --qemu-arg edu.
"""

import argparse
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Iterator

PCI = Path("/sys/bus/pci")
EDU = "1234:11e8"

# _IO(';', 100 + n), linux/vfio.h
GET_API_VERSION, _, SET_IOMMU, GROUP_GET_STATUS, GROUP_SET_CONTAINER, _, GROUP_GET_DEVICE_FD, \
    _, GET_REGION_INFO, _, _, DEVICE_RESET = range(0x3b64, 0x3b70)
TYPE1V2_IOMMU = 3
GROUP_VIABLE = 1
REGION_FLAG_MMAP = 4
CONFIG_REGION = 7
COMMAND = 4
COMMAND_MEMORY = 2


class Region:
    """Where a region of the device is in the device's file."""

    def __init__(self, device: int, index: int) -> None:
        info = bytearray(struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(device, GET_REGION_INFO, info)
        _, self.flags, _, _, self.size, self.offset = struct.unpack("=IIIIQQ", info)
        self.index = index

    @property
    def mappable(self) -> bool:
        return self.size > 0 and bool(self.flags & REGION_FLAG_MMAP)


def find(ids: str) -> Path:
    vendor, device = ids.split(":")
    for path in sorted((PCI / "devices").iterdir()):
        if (path / "vendor").read_text().strip() == f"0x{vendor}" and \
           (path / "device").read_text().strip() == f"0x{device}":
            return path
    raise SystemExit(f"no PCI device {ids} here")


def give_to_vfio(device: Path) -> None:
    subprocess.run(["modprobe", "vfio-pci"], check=True)
    (device / "driver_override").write_text("vfio-pci")
    if (device / "driver").exists():
        (device / "driver/unbind").write_text(device.name)
    (PCI / "drivers_probe").write_text(device.name)
    if (device / "driver").resolve().name != "vfio-pci":
        raise SystemExit(f"vfio-pci does not take {device.name}")


def open_device(device: Path) -> int:
    """By group and container; an emulated IOMMU often can't isolate MSIs."""
    unsafe = Path("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    unsafe.write_text("1")
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    name = (device / "iommu_group").resolve().name
    group = os.open(f"/dev/vfio/{name}", os.O_RDWR)
    status = bytearray(struct.pack("=II", 8, 0))
    fcntl.ioctl(group, GROUP_GET_STATUS, status)
    if not struct.unpack("=II", status)[1] & GROUP_VIABLE:
        raise SystemExit(f"IOMMU group {name} is not viable")
    fcntl.ioctl(group, GROUP_SET_CONTAINER, struct.pack("=i", container))
    fcntl.ioctl(container, SET_IOMMU, TYPE1V2_IOMMU)
    # The file descriptor is returned only for a buffer that can be written
    return fcntl.ioctl(group, GROUP_GET_DEVICE_FD, bytearray(device.name.encode() + b"\0"))


def set_memory(device: int, config: Region, enabled: bool) -> None:
    command, = struct.unpack("<H", os.pread(device, 2, config.offset + COMMAND))
    command = command | COMMAND_MEMORY if enabled else command & ~COMMAND_MEMORY
    os.pwrite(device, struct.pack("<H", command), config.offset + COMMAND)


def mapped(device: int) -> Iterator[mmap.mmap]:
    for index in range(6):
        bar = Region(device, index)
        if bar.mappable:
            yield mmap.mmap(device, bar.size, offset=bar.offset)


def touch(area: mmap.mmap) -> int:
    """One 32-bit load, which faults the page in."""
    return ctypes.c_uint32.from_buffer(area).value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=EDU, metavar="VENDOR:DEVICE",
                        help="default: QEMU's edu, %(default)s")
    path = find(parser.parse_args().device)
    give_to_vfio(path)
    device = open_device(path)
    config = Region(device, CONFIG_REGION)
    set_memory(device, config, True)
    areas = list(mapped(device))
    if not areas:
        raise SystemExit(f"{path.name} has no BAR that can be mapped")
    for _ in range(3):
        values = [touch(area) for area in areas]
        # The mappings are taken away under the memory lock, and fault in again
        set_memory(device, config, False)
        set_memory(device, config, True)
        try:
            fcntl.ioctl(device, DEVICE_RESET)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise  # these two: it has no reset, as edu
        set_memory(device, config, True)
    print(f"{path.name}: {len(areas)} BARs mapped, read {' '.join(f'{v:#x}' for v in values)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
