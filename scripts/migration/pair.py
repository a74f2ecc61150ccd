# SPDX-License-Identifier: GPL-2.0-only
"""Two hosts with libvirt, and a guest that goes to and fro between them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Optional

from . import Failure, patience
from .carry import MEDIA_MB
from .combination import Emulator, Wiring
from .domain import Domain, description, provide_files, virsh
from .guest import Disk, Guest
from .host import NET, NVME
from .hosts import ADDRESSES, NAMES, TRUNK, Clock, Host, plug_in
from .tour import Lab
from .traffic import Nic
from .wire import Wire

TOP = Path(__file__).resolve().parents[2]
# What the files are called that the hosts leave
PREFIX = "two-hosts"
# VFs of each host
VFS = 3


def choose_wiring(lab: Lab) -> Wiring:
    """What libvirt gives a VF to QEMU by: it has iommufd since 12.1."""
    if lab.wiring.tracking == "none":
        return lab.wiring
    return Wiring(lab.wiring.iommu if lab.libvirt else "type1", "device")


class Pair:
    """Two hosts that are ready, and a guest on one of them."""

    def __init__(self, lab: Lab):
        self._lab = lab
        self.clock = Clock()
        self.hosts = [Host(0, False, self.clock), Host(1, True, self.clock)]
        self.domains = [Domain(host, lab.logs, PREFIX) for host in self.hosts]
        self.emulator: Emulator = lab.emulators[0]
        if lab.libvirt:
            self.emulator = replace(self.emulator, program="/usr/bin/qemu-system-x86_64")
        self.wiring = choose_wiring(lab)
        # The version
        self.libvirt = ""
        # Of each host: addresses of VFs with a disk, and the NIC that a guest may have with
        # its netdev
        self.vfs: list[list[str]] = []
        self.nics: list[tuple[str, str]] = []
        # Is there a guest that the next act can have?
        self.booted = False
        self.at = 0
        self.seed = 0
        self.guest: Guest[Domain]
        self.disks: list[Disk] = []
        self.nic: Optional[Nic] = None
        self.wire: Optional[Wire] = None

    def prepare(self) -> None:
        """Makes hosts of the two VMs."""
        plug_in(0)
        self._lab.progress("waiting for the second host")
        self.hosts[1].wait_up()
        self._lab.progress("both hosts: starting libvirtd, making VFs")
        with ThreadPoolExecutor() as both:
            self.vfs = list(both.map(self._prepare, self.domains))
        self.libvirt = virsh(self.hosts[0], "--version")

    def _prepare(self, domain: Domain) -> list[str]:
        """Makes a VM a host with VFs; returns their addresses."""
        side = domain.host
        names = "".join(f"{address} {name}\n" for address, name in zip(ADDRESSES, NAMES))
        side.output("cat >>/etc/hosts", text=names)
        log = self._lab.logs / f"{domain.name}.libvirtd"
        side.output(f"{TOP}/scripts/libvirt-host {side.name} {side.address} {side.uuid} "
                    f"{quote(str(log))} {quote(str(self._lab.libvirt or ''))}", patience(180))
        provide_files(side, self._lab.image, self.emulator)
        made = self._vfs(side, f"{NVME} {VFS} media_mb={MEDIA_MB}")
        return [line.split()[0] for line in made.splitlines()]

    @staticmethod
    def _vfs(side: Host, arguments: str = "") -> str:
        return side.output(f"cd {TOP}/scripts && python3 -m migration.vfs {arguments}",
                           patience(120))

    def make_nics(self) -> None:
        """A VF that is a NIC on each host, on one network with a third host.  That is the
        peer of wire.py, in a namespace of the first host."""
        self.wire = Wire()
        for side in self.hosts:
            address, netdev = self._vfs(side, f"{NET} 1 queue_pairs=1").split()
            bridge = "" if side is self.hosts[0] else "Wire.make_bridge(); "
            side.output(f"cd {TOP}/scripts && python3 -c 'from migration.wire import Wire; "
                        f'{bridge}Wire.attach("{TRUNK}"); Wire.attach("{netdev}")\'')
            self.nics.append((address, netdev))

    def through(self, number: int) -> int:
        """Bytes that took the way to and from the NIC of a host, up to now."""
        files = f"/sys/class/net/{self.nics[number][1]}/statistics/{{rx,tx}}_bytes"
        return sum(map(int, self.hosts[number].output(f"cat {files}").split()))

    @property
    def here(self) -> Domain:
        """Where the guest is."""
        return self.domains[self.at]

    @property
    def there(self) -> Domain:
        return self.domains[1 - self.at]

    def vf(self, number: int) -> str:
        """The VF for the guest's disk on a host.  On the second one its address is another."""
        return self.vfs[number][number]

    def spare_vf(self, number: int) -> str:
        """Another one of this host."""
        return self.vfs[number][-1]

    def use_spare(self) -> None:
        """The guest has that one now where it is."""
        vfs = self.vfs[self.at]
        vfs[self.at], vfs[-1] = vfs[-1], vfs[self.at]

    def boot(self, with_nic: bool = False) -> None:
        """The guest boots on the first host."""
        self.discard()
        if with_nic and not self.nics:
            self.make_nics()
        self.at = 0
        vfs = [self.vf(0), *([self.nics[0][0]] if with_nic else [])]
        self._lab.progress(f"guest boots on {self.here.host} with {', '.join(vfs)}")
        self.here.define(description(vfs, self.emulator, self.wiring))
        self.here.start()
        self.guest = Guest(self.here)
        self.disks = [Disk(self.guest, "/dev/nvme0n1")]
        self.disks[0].wait()
        self.nic = Nic(self.guest, 0, 1) if with_nic else None
        self.booted = True

    def discard(self) -> None:
        """Leaves no guest on the hosts."""
        if self.wire:
            self.wire.end_peers()
        for domain in self.domains:
            domain.discard()
        self.booted = False

    def arrive(self) -> None:
        """The guest has moved to the other host."""
        self.at = 1 - self.at
        self.here.connect()
        self.guest.move(self.here)

    def xml_file(self, vf: str = "") -> str:
        """Leaves a description of the domain, with a VF or that of the other host, where the
        guest is; the file."""
        vfs = [vf or self.vf(1 - self.at), *([self.nics[1 - self.at][0]] if self.nic else [])]
        self.here.host.output("cat >/tmp/target.xml", text=self.here.xml(vfs))
        return "/tmp/target.xml"

    def uri(self) -> str:
        return f"qemu+tcp://{self.there.host}/system"

    def save_logs(self) -> None:
        for domain in self.domains:
            try:
                domain.save_logs()
            except Failure as failure:
                self._lab.progress(f"the logs of {domain.host} are lost: {failure}")

    def end(self) -> None:
        """Leaves the hosts without guest and VFs, and the second one without its VM."""
        self.save_logs()
        self.discard()
        if self.wire:
            self.wire.close()
        self._vfs(self.hosts[1])
        self.hosts[1].end()
