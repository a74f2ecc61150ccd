# SPDX-License-Identifier: GPL-2.0-only
"""The PF and its VFs, seen from sysfs."""

import subprocess
import time
from pathlib import Path

from . import Failure

DRIVER = "vfmig_vfio_pci"
VENDOR = "0x564d"
DEVICE_PF = "0x5046"
PCI = Path("/sys/bus/pci")


def modprobe(*arguments: str) -> None:
    done = subprocess.run(["modprobe", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"modprobe {' '.join(arguments)}: {done.stderr.strip()}")


def find_pfs() -> list[Path]:
    """All simulated PFs, in the order of their addresses."""
    return sorted(
        path for path in (PCI / "devices").iterdir()
        if (path / "vendor").read_text().strip() == VENDOR
        and (path / "device").read_text().strip() == DEVICE_PF)


class Vf:
    """A virtual function bound to the variant driver."""

    def __init__(self, path: Path):
        self.path = path
        self.address = path.name
        self._bind()

    def _bound_to(self) -> str:
        driver = self.path / "driver"
        return driver.resolve().name if driver.exists() else ""

    def _bind(self) -> None:
        """driver_override is set when the VF is made; whoever finds it bound to
        something else, or to nothing, does what an administrator would."""
        override = self.path / "driver_override"
        if override.read_text().strip() != DRIVER:
            override.write_text(DRIVER)
        if self._bound_to() not in ("", DRIVER):
            (self.path / "driver" / "unbind").write_text(self.address)
        if not self._bound_to():
            (PCI / "drivers_probe").write_text(self.address)
        if self._bound_to() != DRIVER:
            raise Failure(f"{self.address} is bound to '{self._bound_to()}', not to {DRIVER}")
        self._wait_nodes()

    def _wait_nodes(self) -> None:
        """The group's, and the device's own where the kernel has such."""
        nodes = [Path("/dev/vfio") / (self.path / "iommu_group").resolve().name]
        devices = self.path / "vfio-dev"
        if devices.exists():
            nodes += [Path("/dev/vfio/devices") / path.name for path in devices.iterdir()
                      if (path / "dev").exists()]
        deadline = time.monotonic() + 5
        while not all(node.exists() for node in nodes):
            if time.monotonic() > deadline:
                raise Failure(f"{self.address} is bound and one of "
                              f"{', '.join(map(str, nodes))} is missing")
            time.sleep(0.05)

    def resize(self, media_mb: int) -> None:
        """What an administrator may do at any time, whatever the guest is at."""
        (Path("/sys/kernel/debug/vfmig") / self.address / "media_mb").write_text(str(media_mb))


def make_vfs(count: int, media_mb: int) -> list[Vf]:
    """Loads the modules if they aren't, and makes the VFs of one PF, as a user would."""
    modprobe("vfmig_sim")
    pfs = find_pfs()
    if len(pfs) != 1:
        raise Failure(f"there are {len(pfs)} simulated PFs, not 1")
    (pfs[0] / "sriov_numvfs").write_text("0")
    (pfs[0] / "vfmig" / "media_mb").write_text(str(media_mb))
    (pfs[0] / "sriov_numvfs").write_text(str(count))
    return [Vf((pfs[0] / f"virtfn{n}").resolve()) for n in range(count)]


def remove_vfs() -> None:
    for pf in find_pfs():
        (pf / "sriov_numvfs").write_text("0")
    # Only what was loaded has a state, and can be unloaded
    if Path("/sys/module/vfmig_sim/initstate").exists():
        modprobe("-r", "vfmig_sim")
