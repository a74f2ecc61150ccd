# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU process and its QMP."""

import json
import os
import re
import shlex
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import Failure, GuestLost, patience
from .combination import Combination, Emulator, in_port
from .host import Vf
from .trace import EVENTS

MACHINE = "hpet=off,smm=off,vmport=off,sata=off,smbus=off,i8042=off,graphics=off"
CMDLINE = ("console=ttyS0 loglevel=4 mitigations=off nokaslr no_timer_check tsc=reliable "
           "workqueue.cpu_intensive_thresh_us=0 panic=-1")
# For a guest with several processors.  They may share fewer CPUs, and then each of them stands
# still for a while.  The kernel's own limits for that are 21 and 20 s.
PATIENT = " rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60"
# The guest's only virtio device of its own.
# - Ports, not memory, to notify it by: KVM from 6.14 on gives up a guest that first touches a
#   device's memory while its VMCB has the type of an exception, and TCG leaves there that of
#   one which is over.
# - The largest queue that virtio has: QEMU 10.0.13 gives every virtio device queues of that
#   size, whatever it is asked for, and other QEMUs refuse a queue larger than their own.
DISK = "virtio-blk-pci,addr=02.0,disable-modern=on,disable-legacy=off,queue-size=1024"
TIMEOUT = patience(180)
# From kill -9 to the end
DEATH_TIMEOUT = patience(60)


def connect(path: Path, process: subprocess.Popen, log: Path) -> socket.socket:
    """Connects to a socket that a QEMU which is just starting will listen on."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
            sock.settimeout(TIMEOUT)
            return sock
        except OSError as error:
            sock.close()
            if process.poll() is not None:
                raise Failure(f"QEMU did not start: {tail(log)}") from error
            if time.monotonic() > deadline:
                raise Failure(f"QEMU does not listen on {path.name}: {error}") from error
        time.sleep(0.05)


def tail(path: Path) -> str:
    """The last line of a log, for a message."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "(nothing logged)"


class Qmp:
    """QMP over a unix socket: commands, and the events that came meanwhile."""

    def __init__(self, sock: socket.socket, console: Path):
        """The console tells a guest that reset of itself from one that panicked."""
        self._console = console
        self.events: list[dict[str, Any]] = []
        self._sock = sock
        self._input = sock.makefile("r", encoding="utf-8")
        self._read()
        self.command("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._input.readline()
        except TimeoutError as error:
            raise Failure("QEMU does not answer over QMP") from error
        except OSError as error:
            raise self._ended(error) from error
        if not line.endswith("\n"):
            raise self._ended("end of file")
        return json.loads(line)

    def _ended(self, how: object) -> Failure:
        """What to say of a connection that QEMU closed: its last event may tell why."""
        with suppress(OSError, ValueError):
            self.events += [json.loads(line) for line in self._input]
        reasons = [event["data"]["reason"] for event in self.events
                   if event["event"] == "SHUTDOWN"]
        why = f"it shut down, {reasons[-1]}" if reasons else "it said nothing of a shutdown"
        return self.end_of_guest(f"QEMU closed its QMP connection ({how}): {why}",
                                 reasons[-1:] == ["guest-reset"])

    def end_of_guest(self, why: str, sudden: bool) -> Failure:
        """GuestLost if it was sudden, and the guest's kernel had nothing to say of it."""
        last_words = [line for line in self._console.read_text(errors="replace").splitlines()
                      if re.search("Kernel panic|Oops|BUG: ", line)]
        if last_words:
            return Failure(f"{why}, its guest's last words: {last_words[-1]}")
        return GuestLost(why) if sudden else Failure(why)

    def command(self, name: str, **arguments: Any) -> Any:
        request: dict[str, Any] = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value
                                    for key, value in arguments.items()}
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise self._ended(error) from error
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise Failure(f"QMP {name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name: str, **data: Any) -> None:
        """Waits for an event with these data."""
        deadline = time.monotonic() + TIMEOUT
        while not any(event["event"] == name and data.items() <= event["data"].items()
                      for event in self.events):
            if time.monotonic() > deadline:
                raise Failure(f"after {TIMEOUT:.0f} s QEMU has not reported {name}")
            time.sleep(0.2)
            # Events are read along with the answer
            self.command("query-status")

    def job(self, name: str, **arguments: Any) -> str:
        """Runs a job to its end.  Returns its error message, empty on success."""
        self.command(name, job_id=name, **arguments)
        deadline = time.monotonic() + TIMEOUT
        while True:
            job = next(job for job in self.command("query-jobs") if job["id"] == name)
            if job["status"] == "concluded":
                break
            if time.monotonic() > deadline:
                raise Failure(f"after {TIMEOUT:.0f} s {name} is still {job['status']}")
            time.sleep(0.1)
        self.command("job-dismiss", id=name)
        return job.get("error", "")

    def close(self) -> None:
        self._input.close()
        self._sock.close()


class Qemu:
    """One QEMU with a guest and VFs; incoming waits for a guest instead of booting it.
    agent is the guest's agent's port, connected before the guest runs: what is written to a
    port that nobody listens on is lost."""

    def __init__(self, name: str, image: Path, logs: Path, run: Path, vfs: list[Vf],
                 emulator: Emulator, combination: Combination, *,
                 incoming: bool = False, memory: int = 256):
        self.name = name
        self.vfs = vfs
        self._combination = combination
        self.trace = logs / f"{name}.trace"
        self._log = logs / f"{name}.log"
        console = logs / f"{name}.console"
        qmp_path = run / f"{name}.qmp"
        agent_path = run / f"{name}.agent"
        arguments = [
            emulator.program, "-m", str(memory), *combination.hardware.arguments(),
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-M", f"{combination.machine},{MACHINE}", *self._boot(image, combination),
            "-drive", f"if=none,id=root,format=raw,readonly=on,file={image / 'root.img'}",
            "-device", f"{DISK},drive=root",
            # Not virtio's: its queues have a size that nobody can choose
            "-chardev", f"file,id=console,path={console}",
            "-device", "isa-serial,index=0,chardev=console",
            "-chardev", f"socket,id=agent,server=on,wait=off,path={agent_path}",
            "-device", "isa-serial,index=1,chardev=agent",
            "-qmp", f"unix:{qmp_path},server=on,wait=off",
            "-msg", "timestamp=on", "-D", str(self.trace),
        ]
        for event in EVENTS:
            arguments += ["-trace", event]
        arguments += combination.wiring.objects()
        for number, vf in enumerate(vfs):
            arguments += ["-device", self._device(vf, number, combination.hardware.place(number))]
        # A guest that boots waits too, for its processor to be told where to run
        arguments += ["-incoming", "defer"] if incoming else ["-S"]
        (logs / f"{name}.command").write_text(shlex.join(arguments) + "\n")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.qmp = Qmp(connect(qmp_path, self.process, self._log), console)
            self.agent = connect(agent_path, self.process, self._log)
            self._place_cpus()
            if not incoming:
                self.qmp.command("cont")
        except BaseException:
            self.kill()
            raise

    @staticmethod
    def _boot(image: Path, combination: Combination) -> list[str]:
        if combination.hardware.boots_vf:
            firmware = combination.hardware.firmware
            return ["-bios", firmware] if firmware else []
        cmdline = CMDLINE + (PATIENT if combination.hardware.cpus > 1 else "")
        cmdline += " intel_iommu=on" if combination.hardware.iommu else ""
        return ["-bios", str(combination.firmware), "-kernel", str(image / "vmlinuz"),
                "-initrd", str(image / "initramfs.img"), "-append", cmdline]

    def _device(self, vf: Vf, number: int, place: str) -> str:
        found = ["vfio-pci", f"id=vf{number}", place, f"host={vf.address}",
                 "migration-events=on", *self._combination.wiring.properties()]
        if self._combination.hardware.boots_vf:
            found.append(f"bootindex={number}")
        if self._combination.hardware.rom:
            found.append(f"romfile={self._combination.hardware.rom}")
        return ",".join(found)

    def plug(self, vf: Vf, number: int, port: int) -> None:
        """Plugs a VF into a root port, as device vfNUMBER."""
        # QMP would need the type of each property
        if said := self.monitor(f"device_add {self._device(vf, number, in_port(port))}"):
            raise Failure(f"{vf.address} can't be plugged in: {said.strip()}")

    def unplug(self, number: int) -> None:
        """Unplugs device vfNUMBER, and waits until the guest has released it."""
        self.qmp.events.clear()
        self.qmp.command("device_del", id=f"vf{number}")
        self.qmp.wait_event("DEVICE_DELETED", device=f"vf{number}")

    def _place_cpus(self) -> None:
        """Keeps the guest's processors off CPU 0 where that is emulated.  QEMU's TCG
        has each CPU that loads its FPU state write CPU 0's hflags2, IGNNE's bit
        being there, and not atomically (cpu_clear_ignne()).  If CPU 0 is in VMRUN or
        #VMEXIT meanwhile, the bit that says "nested paging is on" may be lost or
        come back: the guest finds itself with its host's registers, and resets."""
        cpus = os.sched_getaffinity(0) - {0}
        if os.environ.get("VFMIG_ACCEL") != "tcg" or not cpus:
            return
        for cpu in self.qmp.command("query-cpus-fast"):
            os.sched_setaffinity(cpu["thread-id"], cpus)

    def log_lines(self) -> list[str]:
        """What QEMU has written on standard error, without the times."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [re.sub(r"^\d{4}-\S+Z ", "", line) for line in lines]

    def log_tail(self) -> str:
        return tail(self._log)

    def running(self) -> bool:
        """Does the guest run?  Raises GuestLost if it never will."""
        status = self.qmp.command("query-status")["status"]
        if status == "internal-error":
            raise self.qmp.end_of_guest(
                f"KVM gave up the guest's processor: {self._internal_error()}", True)
        return status == "running"

    def _internal_error(self) -> str:
        """QEMU's line about it, which the registers follow."""
        lines = self._log.read_text(errors="replace").splitlines()
        return next((line for line in lines if "KVM internal error" in line), tail(self._log))

    def monitor(self, command: str) -> str:
        """For what QMP has no command."""
        return self.qmp.command("human-monitor-command", command_line=command)

    def post_mortem(self) -> str:
        """Writes down what the processor of a guest that doesn't answer is at; where.
        Raises GuestLost if it isn't there any more."""
        path = self._log.with_suffix(".post-mortem")
        try:
            with path.open("w") as file:
                for command in ("info status", *["info registers", "info lapic"] * 3):
                    file.write(f"{time.time():.3f} {command}\n{self.monitor(command)}\n")
                    time.sleep(0.5)
        except GuestLost:
            raise
        except Failure as failure:
            return f"its monitor neither: {failure}"
        return f"see {path.name}"

    def set_capabilities(self, **capabilities: bool) -> None:
        self.qmp.command("migrate-set-capabilities", capabilities=[
            {"capability": name.replace("_", "-"), "state": state}
            for name, state in capabilities.items()])

    def set_parameters(self, **parameters: Any) -> None:
        self.qmp.command("migrate-set-parameters", **parameters)

    def listen(self) -> str:
        """Has a QEMU that waits for a guest listen on loopback; returns the URI for the
        source."""
        self.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        address = self.migration()["socket-address"][0]
        return f"tcp:{address['host']}:{address['port']}"

    def migration(self) -> dict[str, Any]:
        return self.qmp.command("query-migrate")

    def quit(self) -> bool:
        """Ends the process in order; by force if it does not end.  Was that in order?"""
        if self.process.returncode is not None:
            return True
        try:
            self.qmp.command("quit")
        except Failure:
            pass
        try:
            self.process.wait(patience(30))
            in_order = True
        except subprocess.TimeoutExpired:
            self.kill()
            in_order = False
        self.qmp.close()
        self.agent.close()
        return in_order

    def kill(self) -> None:
        """Its memory and its VFs are given back first, which takes long on a busy machine."""
        self.process.kill()
        try:
            self.process.wait(DEATH_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure(f"QEMU is still there {DEATH_TIMEOUT:.0f} s after a kill -9") from None
