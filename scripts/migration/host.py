# SPDX-License-Identifier: GPL-2.0-only
"""The PFs and their VFs, seen from sysfs."""

import re
import subprocess
import time
from pathlib import Path

from . import Failure

DRIVER = "vfmig_vfio_pci"
SIM = "vfmig_sim"
PCI = Path("/sys/bus/pci")

# Models of devices.  There is a PF of each.
NVME, NET = "nvme", "virtio-net"


def modprobe(*arguments: str) -> None:
    done = subprocess.run(["modprobe", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"modprobe {' '.join(arguments)}: {done.stderr.strip()}")


def find_pfs() -> list[Path]:
    """All simulated PFs, in the order of their addresses."""
    return sorted(path for path in (PCI / "devices").iterdir()
                  if (path / "vfmig" / "model").exists())


class Vf:
    """A virtual function bound to the variant driver."""

    def __init__(self, pf: Path, number: int):
        self.path = (pf / f"virtfn{number}").resolve()
        self.address = self.path.name
        self.number = number
        self.model = model_of(pf)
        # The host's end of its wire, and the PF's netdev
        self.netdev = self.pf_netdev = ""
        if self.model == NET:
            self.netdev = self._find_netdev(pf, rf"vf{number}$")
            self.pf_netdev = self._find_netdev(pf, r"^p\d+$")
        self._bind()

    @staticmethod
    def _find_netdev(pf: Path, port: str) -> str:
        """The netdev of the PF's switch whose port's name matches."""
        for netdev in (pf / "net").iterdir():
            if re.search(port, (netdev / "phys_port_name").read_text().strip()):
                return netdev.name
        raise Failure(f"no netdev of {pf.name} is port {port}")

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

    def _setting(self, name: str) -> Path:
        """What an administrator may change at any time, whatever the guest is at."""
        return Path("/sys/kernel/debug/vfmig") / self.address / name

    def setting(self, name: str) -> int:
        return int(self._setting(name).read_text())

    def set(self, name: str, value: int) -> None:
        self._setting(name).write_text(str(value))

    def resize(self, media_mb: int) -> None:
        self.set("media_mb", media_mb)


def model_of(pf: Path) -> str:
    return (pf / "vfmig" / "model").read_text().strip()


def make_vfs(model: str, count: int, **settings: int) -> list[Vf]:
    """Loads the modules if they aren't, and makes the VFs of the PF of a model, as a user
    would.  If no PF has it, one without VFs gets it."""
    modprobe(SIM, f"models={NVME},{NET}")
    pfs = find_pfs()
    pf = next((pf for pf in pfs if model_of(pf) == model), None)
    if not pf:
        pf = next((pf for pf in pfs if (pf / "sriov_numvfs").read_text().strip() == "0"), None)
        if not pf:
            raise Failure(f"no simulated PF can have the model {model}")
        (pf / "vfmig" / "model").write_text(model)
    (pf / "sriov_numvfs").write_text("0")
    for name, value in settings.items():
        (pf / "vfmig" / name).write_text(str(value))
    (pf / "sriov_numvfs").write_text(str(count))
    return [Vf(pf, number) for number in range(count)]


def remove_vfs() -> None:
    for pf in find_pfs():
        (pf / "sriov_numvfs").write_text("0")
    # Only what was loaded has a state, and can be unloaded
    if (Path("/sys/module") / SIM / "initstate").exists():
        modprobe("-r", SIM)
