# SPDX-License-Identifier: GPL-2.0-only
"""A guest under libvirt, on one of two hosts.

It stands for a QEMU where guest.py wants one: commands in the guest go to its agent over
TCP, which reaches either host.
"""

import re
import shutil
import socket
import time
from pathlib import Path
from shlex import quote

from . import Failure, GuestLost, patience
from .combination import Emulator, Wiring
from .hosts import Host
from .qemu import CMDLINE

NAME = "guest"
UUID = "33333333-0000-4000-8000-000000000003"
# Where the guest's files are on both hosts.  Copies, as libvirt gives them to QEMU's user.
HOME = "/var/lib/vfmig"
AGENT_PORT = 7778
MEMORY_MB = 256
TIMEOUT = patience(120)


def virsh(host: Host, arguments: str, timeout: float = TIMEOUT) -> str:
    return host.output(f"virsh -q {arguments} 2>&1", timeout).strip()


def overrides(wiring: Wiring, vfs: int) -> str:
    """What libvirt has no words for: the ports that virtio-blk is notified by (see DISK of
    qemu.py), and a VF whose writes to guest memory nobody tracks."""
    devices = {"virtio-disk0": [("disable-modern", "bool", "true"),
                                ("disable-legacy", "string", "off")]}
    if wiring.tracking == "none":
        for number in range(vfs):
            devices[f"ua-vf{number}"] = [("enable-migration", "string", "on"),
                                         ("x-pre-copy-dirty-page-tracking", "string", "off")]
    text = ""
    for alias, properties in devices.items():
        lines = "".join(f"<qemu:property name='{name}' type='{kind}' value='{value}'/>"
                        for name, kind, value in properties)
        text += (f"<qemu:device alias='{alias}'><qemu:frontend>{lines}</qemu:frontend>"
                 f"</qemu:device>\n")
    return f"<qemu:override>\n{text}</qemu:override>"


def source_address(vf: str) -> str:
    """A VF as XML has it."""
    domain, bus, slot, function = re.split("[:.]", vf)
    return (f"<address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' "
            f"function='0x{function}'/>")


def with_vfs(xml: str, vfs: list[str]) -> str:
    """The description of a domain with these VFs in place of its own."""
    pieces = re.split(r"(<hostdev .*?<source>\s*)<address [^>]*/>", xml, flags=re.DOTALL)
    # What is before and between them, each with what is before an address
    if len(pieces) != 2 * len(vfs) + 1:
        raise Failure(f"the domain has {len(pieces) // 2} VFs, not {len(vfs)}")
    return pieces[0] + "".join(f"{begin}{source_address(vf)}{end}" for begin, vf, end in
                               zip(pieces[1::2], vfs, pieces[2::2], strict=True))


def hostdev(number: int, vf: str, wiring: Wiring) -> str:
    driver = "<driver iommufd='yes'/>" if wiring.iommu == "iommufd" else ""
    return f"""<hostdev mode='subsystem' type='pci' managed='no'>
      {driver}
      <source>{source_address(vf)}</source>
      <alias name='ua-vf{number}'/>
      <address type='pci' domain='0' bus='0' slot='{5 + number}' function='0'/>
    </hostdev>"""


def path_of(emulator: Emulator) -> Path:
    path = shutil.which(emulator.program)
    if not path:
        raise Failure(f"{emulator.program} can't be run")
    return Path(path)


def description(vfs: list[str], emulator: Emulator, wiring: Wiring) -> str:
    """A machine like that of qemu.py."""
    machine = ".".join(map(str, emulator.version[:2]))
    return f"""<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{NAME}</name>
  <uuid>{UUID}</uuid>
  <memory unit='MiB'>{MEMORY_MB}</memory>
  <vcpu>1</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='1'/></cputune>
  <os>
    <type arch='x86_64' machine='pc-q35-{machine}'>hvm</type>
    <loader type='rom'>{HOME}/qboot.rom</loader>
    <kernel>{HOME}/vmlinuz</kernel>
    <initrd>{HOME}/initramfs.img</initrd>
    <cmdline>{CMDLINE}</cmdline>
  </os>
  <features><acpi/><apic/><smm state='off'/><vmport state='off'/></features>
  <cpu mode='host-passthrough'/>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>{path_of(emulator)}</emulator>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' queue_size='1024'/>
      <source file='{HOME}/root.img'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
      <address type='pci' domain='0' bus='0' slot='2' function='0'/>
    </disk>
    {"".join(hostdev(number, vf, wiring) for number, vf in enumerate(vfs))}
    <serial type='file'>
      <source path='{HOME}/console'/>
      <target type='isa-serial' port='0'/>
    </serial>
    <serial type='tcp'>
      <source mode='bind' host='0.0.0.0' service='{AGENT_PORT}'/>
      <protocol type='raw'/>
      <target type='isa-serial' port='1'/>
    </serial>
    <memballoon model='none'/>
  </devices>
  {overrides(wiring, len(vfs))}
</domain>
"""


def provide_files(host: Host, image: Path, emulator: Emulator) -> None:
    """Copies the guest's files to a host, and lets libvirt's user reach the QEMU."""
    host.output(f"mkdir -p {HOME} && chmod 777 {HOME} && "
                f"cp {quote(str(image))}/{{vmlinuz,initramfs.img,root.img}} "
                f"{quote(str(emulator.firmware))} {HOME}/")
    directories = " ".join(quote(str(directory)) for directory in path_of(emulator).parents)
    host.output(f"chmod a+x {directories}")


class Domain:
    """The guest's domain on a host, where it is defined or about to arrive."""

    def __init__(self, host: Host, logs: Path, prefix: str):
        self.host = host
        self.name = f"{prefix}-{host}"
        self._logs = logs
        self._agent: socket.socket

    @property
    def agent(self) -> socket.socket:
        """The port of the guest's agent, while there is time to talk to it."""
        self.host.clock.check()
        return self._agent

    def virsh(self, arguments: str, timeout: float = TIMEOUT) -> str:
        return virsh(self.host, arguments, timeout)

    def define(self, xml: str) -> None:
        self.host.output("virsh -q define /dev/stdin 2>&1", TIMEOUT, xml)

    def start(self, resume: bool = True) -> None:
        """Starts the guest from what its domain has: its disk, or what managedsave left.
        Nothing that its agent says is lost."""
        self.virsh(f"start --paused {NAME}")
        self.connect()
        if resume:
            self.virsh(f"resume {NAME}")

    def connect(self) -> None:
        """To the guest's agent, which is on this host now."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self._agent = socket.create_connection((self.host.address, AGENT_PORT), TIMEOUT)
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Failure(f"{self.name}: no port of an agent: {error}") from error
            time.sleep(0.1)

    def state(self) -> str:
        """libvirt's word for it; empty if the host doesn't know the domain."""
        status, text = self.host.run(f"virsh -q domstate {NAME} 2>/dev/null")
        return text.strip() if not status else ""

    def running(self) -> bool:
        state = self.state()
        if state in ("", "shut off", "crashed"):
            raise self._end()
        return state == "running"

    def _end(self) -> Failure:
        """GuestLost, unless the guest's kernel had something to say of it."""
        _, console = self.host.run(f"grep -E 'Kernel panic|Oops|BUG: ' {HOME}/console | tail -n 1")
        if console.strip():
            return Failure(f"the guest's last words: {console.strip()}")
        return GuestLost(f"the guest is gone from {self.host}")

    def lost_error_code(self) -> bool:
        """Has the guest seen a page fault of user mode whose error code is 0?  No processor says
        that: bit 2 is always set.  See Documentation/qemu.rst."""
        return not self.host.run_quietly(f"grep -A 1 '#PF: .* in user mode' {HOME}/console | "
                                         "grep -q '#PF: error_code(0x0000)'")

    def wait_state(self, wanted: str, timeout: float = TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while (state := self.state()) != wanted:
            if time.monotonic() > deadline:
                raise Failure(f"after {timeout:.0f} s the domain on {self.host} is "
                              f"'{state}', not '{wanted}'")
            time.sleep(0.2)

    def xml(self, vfs: list[str]) -> str:
        """Its description, with other VFs, for where the guest goes."""
        return with_vfs(self.virsh(f"dumpxml --migratable {NAME}"), vfs)

    def monitor(self, command: str) -> str:
        return self.virsh(f"qemu-monitor-command {NAME} --hmp {quote(command)}")

    def post_mortem(self) -> str:
        """As Qemu's."""
        path = self._logs / f"{self.name}.post-mortem"
        with path.open("w") as file:
            for command in ("info status", *["info registers", "info lapic"] * 3):
                try:
                    file.write(f"{time.time():.3f} {command}\n{self.monitor(command)}\n")
                except Failure as failure:
                    self.running()
                    return f"its monitor neither: {failure}"
                time.sleep(0.5)
        return f"see {path.name}"

    def save_logs(self) -> None:
        """What QEMU, the guest and the kernel said; libvirtd writes its log there itself."""
        self.host.run(f"chmod 644 {quote(str(self._logs / self.name))}.libvirtd")
        for source, kind in ((f"cat /var/log/libvirt/qemu/{NAME}.log", "log"),
                             (f"cat {HOME}/console", "console"), ("dmesg", "dmesg")):
            status, text = self.host.run(f"{source} 2>&1")
            if not status:
                (self._logs / f"{self.name}.{kind}").write_text(text)

    def discard(self) -> None:
        """Leaves nothing of it on the host, in whatever state it is."""
        self.host.run(f"virsh -q destroy {NAME}; virsh -q managedsave-remove {NAME}; "
                      f"virsh -q undefine --snapshots-metadata {NAME}", TIMEOUT)


def job_info(domain: Domain) -> dict[str, str]:
    """The figures of a domain's last job, under their names of virDomainGetJobStats(); none
    if the host doesn't know the domain any more."""
    _, text = domain.host.run(
        f"virsh -q domjobinfo --completed --rawstats --keep-completed {NAME} 2>/dev/null")
    return {name.strip(): value.strip() for name, _, value in
            (line.partition(":") for line in text.splitlines()) if value}


def moved_bytes(domain: Domain) -> int:
    """What the migration under way has moved; 0 if there is none."""
    _, text = domain.host.run(f"virsh -q domjobinfo --rawstats {NAME} 2>/dev/null")
    return sum(int(number) for number in
               re.findall(r"(?:data_processed|vfio_data_transferred)\s*:\s*(\d+)", text))
