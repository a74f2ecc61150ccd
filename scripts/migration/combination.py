# SPDX-License-Identifier: GPL-2.0-only
"""What a guest migrates with: the QEMUs of both sides, the machine type and what is in the
machine, the way to the IOMMU, and who knows which guest memory the device wrote.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import Failure

FIRMWARE = "qboot.rom"
# The first QEMU that asks for VFIO_PRECOPY_INFO_REINIT, and the first Linux that has it
REINIT_QEMU = (11, 1)
REINIT_LINUX = (7, 1)
# A QEMU that migrates a VF of a guest with an IOMMU.  10.0 refuses to.
GUEST_IOMMU_QEMU = (11, 1)


def linux_knows_reinit() -> bool:
    return tuple(map(int, os.uname().release.split(".")[:2])) >= REINIT_LINUX


def said_by(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failure(f"{program} can't be run: {error.strerror}") from error
    if done.returncode:
        raise Failure(f"{program} {' '.join(arguments)}: {done.stderr.strip()[:300]}")
    return done.stdout


@dataclass(frozen=True)
class Emulator:
    """A QEMU that is installed."""
    program: str
    version: tuple[int, ...]
    firmware: Path

    def __str__(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def knows_reinit(self) -> bool:
        """Does it learn of new initial data?"""
        return self.version >= REINIT_QEMU

    @property
    def moves_guest_iommu(self) -> bool:
        """Does it migrate VFs behind an IOMMU of the guest?"""
        return self.version >= GUEST_IOMMU_QEMU

    @staticmethod
    def find(program: str) -> "Emulator":
        match = re.search(r"version (\d+)\.(\d+)\.(\d+)", said_by(program, "--version"))
        if not match:
            raise Failure(f"{program} does not say which version it is")
        directories = [Path(line.strip()) for line in said_by(program, "-L", "help").splitlines()]
        for directory in directories:
            if (directory / FIRMWARE).exists():
                version = tuple(int(number) for number in match.groups())
                return Emulator(program, version, directory / FIRMWARE)
        raise Failure(f"{program} has no {FIRMWARE}")


@dataclass(frozen=True)
class Wiring:
    """How a VF is given to a QEMU.

    iommu is type1 (group and container) or iommufd (the VFIO cdev).  tracking is device
    (DMA logging), iommu, or none: then QEMU sends all guest memory once more while the
    guest is stopped, which it does over type1 only."""
    iommu: str
    tracking: str

    @property
    def name(self) -> str:
        return f"{self.iommu}-{self.tracking}"

    def objects(self) -> list[str]:
        return ["-object", "iommufd,id=iommufd0"] if self.iommu == "iommufd" else []

    def properties(self) -> list[str]:
        """Of the vfio-pci device.  Where anyone tracks, QEMU must see by itself that the
        device can migrate."""
        found = ["iommufd=iommufd0"] if self.iommu == "iommufd" else []
        if self.tracking != "device":
            found.append("x-device-dirty-page-tracking=off")
        if self.tracking == "none":
            found += ["enable-migration=on", "x-pre-copy-dirty-page-tracking=off"]
        return found


UNTRACKED = Wiring("type1", "none")
# What kernels with IOMMUFD have more; the first one is what a VMM takes by itself
TRACKED = (Wiring("iommufd", "device"), Wiring("iommufd", "iommu"), Wiring("type1", "device"))


def wirings() -> list[Wiring]:
    """Those that this kernel has, the one to prefer first."""
    if Path("/dev/iommu").exists():
        return [*TRACKED, UNTRACKED]
    return [UNTRACKED]


@dataclass(frozen=True)
class Hardware:
    """The machine of a guest."""
    # Processors
    cpus: int = 1
    # PCIe root ports
    ports: int = 0
    # VFs are behind the root ports, not on the root bus
    behind_ports: bool = False
    # The firmware boots from the first VF
    boots_vf: bool = False
    # That firmware; QEMU's default BIOS if empty
    firmware: str = ""
    # Its processors are KVM's, or QEMU emulates them
    kvm: bool = True
    # The option ROM of each VF, by which a BIOS boots from a NIC
    rom: str = ""
    # The host's ends of NICs that are QEMU's own, with vhost
    taps: tuple[str, ...] = ()
    # Disks that are QEMU's own: the device with its properties, and the file
    disks: tuple[tuple[str, Path], ...] = ()
    # VFs that QEMU drives by itself, for disks of the guest that are its own
    nvme: tuple[str, ...] = ()
    # File systems for the guest to mount, which nobody writes to
    packs: tuple[Path, ...] = ()
    # The guest has an IOMMU, and uses it
    iommu: bool = False

    def arguments(self) -> list[str]:
        accel, cpu = ("kvm", "host") if self.kvm else ("tcg", "max")
        found = ["-accel", accel, "-cpu", cpu, "-smp", str(self.cpus)]
        if self.iommu:
            # VFIO must learn of each mapping
            found += ["-device", "intel-iommu,caching-mode=on"]
        for port in range(self.ports):
            found += ["-device", f"pcie-root-port,id=port{port},addr={0x10 + port:02x}.0,"
                      f"chassis={1 + port},slot={1 + port}"]
        for number, tap in enumerate(self.taps):
            found += ["-netdev", f"tap,id=net{number},ifname={tap},vhost=on,"
                      "script=no,downscript=no",
                      "-device", f"virtio-net-pci,netdev=net{number},addr={0x18 + number:02x}.0,"
                      f"mac=52:54:00:00:00:{number:02x},romfile="]
        for number, (device, file) in enumerate(self.disks):
            found += ["-object", f"iothread,id=thread{number}",
                      "-blockdev", f"file,node-name=disk{number},filename={file}",
                      "-device", f"{device},drive=disk{number},addr={0x1a + number:02x}.0"]
        for number, address in enumerate(self.nvme):
            found += ["-blockdev", f"nvme,node-name=nvme{number},device={address},namespace=1",
                      "-device", f"virtio-blk-pci,id=user{number},drive=nvme{number},"
                      f"addr={0x1c + number:02x}.0,"
                      "disable-modern=on,disable-legacy=off"]
        for number, file in enumerate(self.packs):
            found += ["-drive", f"if=none,id=pack{number},format=raw,readonly=on,file={file}",
                      "-device", f"virtio-blk-pci,drive=pack{number},addr={3 + number:02x}.0,"
                      "disable-modern=on,disable-legacy=off"]
        return found

    def place(self, number: int) -> str:
        """The bus and address of a VF when the machine starts."""
        return in_port(number) if self.behind_ports else f"addr={5 + number:02x}.0"


PLAIN = Hardware()


def in_port(port: int) -> str:
    return f"bus=port{port},addr=00.0"


@dataclass(frozen=True)
class Combination:
    """A guest goes to and fro between these two."""
    emulators: tuple[Emulator, Emulator]
    wiring: Wiring
    hardware: Hardware = PLAIN

    @property
    def machine(self) -> str:
        """The newest type that both QEMUs know."""
        major, minor = min(emulator.version for emulator in self.emulators)[:2]
        return f"pc-q35-{major}.{minor}"

    @property
    def firmware(self) -> Path:
        """Guest memory like any other: both sides start with the same."""
        return self.emulators[0].firmware
