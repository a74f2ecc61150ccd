# SPDX-License-Identifier: GPL-2.0-only
"""What runs in the guest: commands, verified I/O, its kernel log."""

import json
import re
import socket
import time
import zlib
from dataclasses import dataclass
from typing import Any, Generic, Optional, Protocol, TypeVar

from . import Failure, patience

TIMEOUT = patience(180)
# How often to look whether a guest that says nothing is still there
WATCH = 5

# What zlib is told of gzip's format: 16, and the largest window
GZIP = 16 + zlib.MAX_WBITS

# What the line after a pass's JSON begins with
PASS_ENDS = "pass ended:"

# Warnings that an emulated processor's slow clock makes the guest's kernel write
CLOCK_NOISE = ("hrtimer: interrupt took", "clocksource: ", "sched_clock: ")


@dataclass
class Verified:
    """What fio says that it read back and compared."""
    read: int = 0
    errors: int = 0

    def __add__(self, other: "Verified") -> "Verified":
        return Verified(self.read + other.read, self.errors + other.errors)


def fio_jobs(text: str) -> list[dict[str, Any]]:
    """What fio's JSON says of each job."""
    try:
        summary, _ = json.JSONDecoder().raw_decode(text[max(text.find("{"), 0):])
        return summary["jobs"]
    except (ValueError, KeyError) as error:
        raise Failure(f"fio said no JSON but: {text.strip()[:200]}") from error


def parse_fio(text: str, status: int, expected: int) -> Verified:
    """Sums fio's JSON up.  A fio that failed in another way than by a
    verification counts as an error, and so does one that read too little."""
    jobs = fio_jobs(text)
    read = sum(job["read"]["io_bytes"] for job in jobs)
    errors = sum(job["total_err"] for job in jobs)
    if not errors and (status or read < expected):
        errors = 1
    return Verified(read, errors)


class Machine(Protocol):
    """What runs a guest: a QEMU, or a domain of libvirt."""
    @property
    def agent(self) -> socket.socket:
        """The port of the guest's agent."""

    def running(self) -> bool:
        """Does the guest run?  Raises GuestLost if it never will."""

    def post_mortem(self) -> str:
        """Writes down what a guest that doesn't answer is at; where."""


AnyMachine = TypeVar("AnyMachine", bound=Machine)


class Guest(Generic[AnyMachine]):
    """The guest, wherever it runs: move() says where that is now."""

    def __init__(self, qemu: AnyMachine):
        """Waits until the guest is up."""
        self._next = 0
        self.move(qemu)
        self.wait_up()

    def wait_up(self) -> None:
        """Waits until the guest has booted."""
        try:
            line = self._line(time.monotonic() + TIMEOUT)
        except OSError as error:
            raise Failure(f"the guest does not boot: {error}; {self.qemu.post_mortem()}") from error
        if line != "ready":
            raise Failure(f"the guest's first word is '{line}'")

    def move(self, qemu: AnyMachine) -> None:
        """The guest runs in qemu now."""
        self.qemu = qemu
        self._received = b""

    def _receive(self, deadline: float) -> None:
        """More of what the guest says."""
        self.qemu.agent.settimeout(WATCH)
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
            try:
                data = self.qemu.agent.recv(1 << 16)
                break
            except TimeoutError:
                self.qemu.running()
        if not data:
            raise OSError("its port was closed")
        self._received += data

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._received:
            self._receive(deadline)
        line, self._received = self._received.split(b"\n", 1)
        return line.decode(errors="replace")

    def _bytes(self, number: int, deadline: float) -> bytes:
        while len(self._received) < number:
            self._receive(deadline)
        data, self._received = self._received[:number], self._received[number:]
        return data

    def run(self, command: str, timeout: float = TIMEOUT) -> tuple[int, str]:
        """Runs a shell command; returns its status and output."""
        self._next += 1
        deadline = time.monotonic() + timeout
        try:
            self.qemu.agent.settimeout(timeout)
            self.qemu.agent.sendall(f"{self._next} {command}\n".encode())
            while True:
                header = self._line(deadline).split()
                answer = self._bytes(int(header[2]), deadline)
                if int(header[0]) == self._next:
                    return int(header[1]), zlib.decompress(answer, GZIP).decode(errors="replace")
        except (OSError, ValueError, IndexError, zlib.error) as error:
            raise Failure(f"the guest does not answer to '{command}': {error}; "
                          f"{self.qemu.post_mortem()}") from error

    def output(self, command: str, timeout: float = TIMEOUT) -> str:
        status, output = self.run(command, timeout)
        if status:
            raise Failure(f"'{command}' failed in the guest ({status}): {output.strip()[:300]}")
        return output

    def wait_for(self, condition: str, what: str, timeout: float = TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while self.run(condition)[0]:
            if time.monotonic() > deadline:
                raise Failure(f"after {timeout:.0f} s there is still no {what} in the guest")
            time.sleep(0.2)

    def clock(self) -> float:
        """What to add to the guest's uptime for the host's clock, to some 20 ms.  The
        guest's stands still while the guest is stopped."""
        best = (float("inf"), 0.0)
        for _ in range(3):
            before = time.time()
            uptime = float(self.output("cat /proc/uptime").split()[0])
            after = time.time()
            best = min(best, (after - before, (before + after) / 2 - uptime))
        return best[1]

    def kernel_errors(self) -> list[str]:
        """Lines of the kernel log at warning level or worse: of the drivers of VFs at any
        time, of anyone since the guest was up."""
        booted = float(self.output("cat /tmp/booted"))
        found = []
        # Most of the log is of the levels 6 and 7, and each byte takes its time to come here
        for line in self.output("dmesg -r | grep -v '^<[67]>'; true").splitlines():
            match = re.match(r"<(\d+)>\[ *([0-9.]+)\] (.*)", line)
            if not match or int(match[1]) & 7 > 4:
                continue
            if float(match[2]) < booted and not re.search("nvme|virtio", match[3]):
                continue
            if not match[3].startswith(CLOCK_NOISE):
                found.append(match[3])
        return found


class Disk:
    """Verified I/O to regions of one disk of the guest."""

    MIB = 1 << 20

    def __init__(self, guest: Guest, device: str):
        self.guest = guest
        self.device = device
        self.name = device.rsplit("/", 1)[-1]
        self._dir = f"/tmp/loop-{self.name}"
        self._size = 0

    def _fio(self, action: str, offset: int, size: int, seed: int, block: str,
             cpu: Optional[int] = None) -> Verified:
        pinned = "" if cpu is None else f"taskset {1 << cpu:x} "
        status, text = self.guest.run(
            f"BLOCK={block} {pinned}io {action} {self.device} {offset * self.MIB} "
            f"{size * self.MIB} {seed}")
        return parse_fio(text, status, size * self.MIB)

    def write(self, offset: int, size: int, seed: int, block: str = "4k",
              cpu: Optional[int] = None) -> Verified:
        """Writes a region (MiB) and verifies it; seed decides what is written, and cpu, if
        it is given, by which processor."""
        return self._fio("write", offset, size, seed, block, cpu)

    def verify(self, offset: int, size: int, seed: int, block: str = "4k") -> Verified:
        """Verifies what write() with the same arguments left there."""
        return self._fio("verify", offset, size, seed, block)

    def wait(self) -> None:
        """Waits until the disk appears in the guest."""
        self.guest.wait_for(f"[ -b {self.device} ]", self.device)

    def identity(self) -> dict[str, str]:
        """The identity of the disk, which names in /dev/disk/by-id consist of."""
        block = f"/sys/block/{self.name}"
        files = {name: f"{block}/device/{name}" for name in ("serial", "subsysnqn")}
        files |= {name: f"{block}/{name}" for name in ("nguid", "eui", "wwid")}
        values = self.guest.output(f"cat {' '.join(files.values())}").splitlines()
        return {name: value.strip() for name, value in zip(files, values, strict=True)}

    def start_loop(self, offset: int, size: int, seed: int, rate: int = 0) -> None:
        """Writes and verifies a region again and again, with seed + 1 and so on, until
        stop_loop(): with rate writes per second, or as fast as it goes."""
        self._size = size * self.MIB
        self.guest.output(
            f"rm -rf {self._dir}; mkdir {self._dir}; (RATE={rate} io loop {self.device} "
            f"{offset * self.MIB} {self._size} {seed} {self._dir} >/dev/null 2>&1 &)")

    def passes(self) -> int:
        """Passes of the loop that have ended."""
        return int(self.guest.output(f"ls {self._dir} 2>/dev/null | grep -c json || true"))

    def wait_pass(self, number: int) -> None:
        self.guest.wait_for(f"[ -e {self._dir}/{number}.json ]", f"pass {number} of {self.name}")

    def fill(self, offset: int, size: int, seed: int) -> None:
        """Writes a region (MiB) in large blocks, for verify() with 1m later."""
        status, text = self.guest.run(
            f"BLOCK=1m io fill {self.device} {offset * self.MIB} {size * self.MIB} {seed}")
        if status:
            raise Failure(f"{self.device} can't be filled: {text.strip()[:300]}")

    def busy(self) -> None:
        """Waits until the loop's I/O is seen to go on."""
        self.guest.wait_for(
            f"a=$(cat /sys/block/{self.name}/stat); sleep 0.2; "
            f'[ "$a" != "$(cat /sys/block/{self.name}/stat)" ]', f"I/O on {self.name}")

    def hurry(self) -> None:
        """The loop's next passes go as fast as they can."""
        self.guest.output(f"touch {self._dir}/hurry")

    def stop_loop(self) -> None:
        """The loop ends with the pass that is under way."""
        self.guest.output(f"touch {self._dir}/stop")

    def loop_result(self) -> Verified:
        """Waits for the end that stop_loop() asked for; sums up all passes."""
        self.guest.wait_for(f"[ -e {self._dir}/ended ]", f"end of the I/O loop on {self.name}")
        number = self.passes()
        # Each command costs the guest a second: one for all passes
        text = self.guest.output(
            f"cd {self._dir}; for n in $(seq {number}); do "
            f'cat $n.json; head -n 5 $n.err; echo "{PASS_ENDS} $(cat $n.status)"; done')
        passes = re.findall(rf"(.*?)^{PASS_ENDS} (\d+)$", text, re.MULTILINE | re.DOTALL)
        if len(passes) != number:
            raise Failure(f"{number} passes on {self.name} left {len(passes)} results: "
                          f"{text.strip()[-200:]}")
        return sum((parse_fio(said, int(status), self._size) for said, status in passes),
                   Verified())


class Memory:
    """Guest memory that a disk's device fills, with what only the device knows of: see
    scripts/guest/memory.c."""

    def __init__(self, disk: Disk, offset: int, size: int, seed: int, rate: int):
        """A region of the disk (MiB) for it; rate is of blocks read per second, up to the
        end."""
        self._disk = disk
        self._rate = rate
        self._dir = f"/tmp/memory-{disk.name}"
        disk.guest.output(
            f"rm -rf {self._dir}; mkdir {self._dir}; (memory {disk.device} {offset * disk.MIB} "
            f"{size * disk.MIB} {seed} {rate} {self._dir} >{self._dir}/error 2>&1 &)")
        self._wait("ready")

    def _wait(self, file: str) -> None:
        self._disk.guest.wait_for(
            f"[ -e {self._dir}/{file} -o -s {self._dir}/error ]", f"{self._dir}/{file}")
        error = self._disk.guest.output(f"cat {self._dir}/error")
        if error:
            raise Failure(f"the guest's memory can't be verified: {error.strip()}")

    def stop(self) -> Verified:
        """Has the program compare what is in memory: soon after the guest has moved, for
        the device goes on reading until then."""
        self._disk.guest.output(f"touch {self._dir}/stop")
        self._wait("ended")
        read, wrong, again = self._disk.guest.output(f"cat {self._dir}/result").split()
        if self._rate and not int(again):
            raise Failure(f"{self._disk.name} wrote nothing into memory while the guest moved")
        return Verified(int(read), int(wrong))


class Sampler:
    """Counts, ten times a second, the I/O that the guest's disks have completed."""

    DIR = "/tmp/samples"

    def __init__(self, guest: Guest, disks: list[Disk]):
        self.guest = guest
        names = " ".join(disk.name for disk in disks)
        guest.output(f"rm -rf {self.DIR}; mkdir {self.DIR}; "
                     f"(io sample {self.DIR} {names} >/dev/null 2>&1 &)")

    def stop(self) -> list[tuple[float, int]]:
        """The guest's uptime and the count, each time."""
        lines = self.guest.output(f"touch {self.DIR}/stop; cat {self.DIR}/samples").splitlines()
        pairs = [line.split() for line in lines]
        return [(float(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]
