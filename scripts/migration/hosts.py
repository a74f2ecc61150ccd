# SPDX-License-Identifier: GPL-2.0-only
"""The two hosts of a migration between test VMs, and commands on either of them.

The first host is the VM that this runs in.  The second one runs scripts/second-host, and
gets its commands over the link between the two VMs.
"""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from . import Failure, patience

# The first host, then the second
NAMES = ("host1", "host2")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
UUIDS = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")
# The ends of the cables of scripts/two-vms: the hosts' own, and the one for guests' networks.
# The last byte of a MAC address is the host's number, from 1 on.
LINK, TRUNK = "link0", "trunk0"
MACS = {LINK: "52:54:00:77:00", TRUNK: "52:54:00:77:01"}

# Of scripts/second-host
PORT = 7777

TIMEOUT = patience(60)
BOOT_TIMEOUT = patience(240)
# What a command that was killed is waited for, and its answer
GRACE = 10


class Unreachable(Failure):
    """The host gives no answer."""


class Clock:
    """The time that is left for what the hosts are at.  It bounds every command on a host or in
    the guest, and so all that waits for something there."""

    def __init__(self) -> None:
        self._end = float("inf")
        self._limit = 0.0

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """What is inside fails after so many seconds, with its next command or the one that is
        running."""
        self._limit, self._end = seconds, time.monotonic() + seconds
        try:
            yield
        finally:
            self._end = float("inf")

    def bound(self, timeout: float) -> float:
        """A command's own time limit, or what is left."""
        self.check()
        return min(timeout, self._end - time.monotonic())

    def check(self) -> None:
        if time.monotonic() >= self._end:
            raise Failure(f"it takes more than {self._limit:.0f} s")


def run_here(command: str, timeout: float, text: str = "") -> tuple[int, str]:
    """Runs a shell command on this host; returns its status, 124 if time was up, and its
    output."""
    with subprocess.Popen(["bash", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        try:
            output, _ = process.communicate(text, timeout)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return 124, f"{output}time is up after {timeout:.0f} s\n"


def find_card(mac: str) -> str:
    for card in Path("/sys/class/net").iterdir():
        if (card / "address").read_text().strip() == mac:
            return card.name
    raise Failure(f"there is no network card with the address {mac}")


def plug_in(number: int) -> None:
    """Brings the ends of the cables up that a host has, this one, and gives it its address.
    udev leaves a card alone that has been named."""
    run_here("modprobe -q virtio_net", TIMEOUT)
    for name, mac in MACS.items():
        card = find_card(f"{mac}:{number + 1:02}")
        status, output = run_here(f"{{ ip link set {card} name {name} && ip link set {name} up; }}"
                                  " 2>&1", TIMEOUT)
        if status:
            raise Failure(f"{card} can't be {name}: {output.strip()}")
    status, output = run_here(f"ip address replace {ADDRESSES[number]}/24 dev {LINK} 2>&1", TIMEOUT)
    if status:
        raise Failure(f"{LINK} gets no address: {output.strip()}")


class Host:
    """One of the hosts.  It is this one if remote is False."""

    def __init__(self, number: int, remote: bool, clock: Clock):
        self.name = NAMES[number]
        self.address = ADDRESSES[number]
        self.uuid = UUIDS[number]
        self._remote = remote
        self.clock = clock

    def __str__(self) -> str:
        return self.name

    def _ask(self, request: dict[str, object], timeout: float) -> Optional[dict[str, object]]:
        """No answer comes if the other side has none to give."""
        with socket.create_connection((self.address, PORT), TIMEOUT) as sock:
            sock.settimeout(timeout)
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("r", encoding="utf-8") as answer:
                line = answer.readline()
        return json.loads(line) if line else None

    def run(self, command: str, timeout: float = TIMEOUT, text: str = "") -> tuple[int, str]:
        """Runs a shell command, with text as its input; returns its status and output."""
        timeout = self.clock.bound(timeout)
        if not self._remote:
            return run_here(command, timeout, text)
        request: dict[str, object] = {"command": command, "timeout": timeout, "input": text}
        try:
            answer = self._ask(request, timeout + 2 * GRACE)
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self.name} does not answer to '{command[:100]}': "
                              f"{error}") from error
        if answer is None:
            raise Unreachable(f"{self.name} has no answer to '{command[:100]}'")
        return int(str(answer["status"])), str(answer["output"])

    def run_quietly(self, command: str) -> int:
        """The status of a command; 255 if the host is out of reach."""
        try:
            return self.run(command)[0]
        except Unreachable:
            return 255

    def output(self, command: str, timeout: float = TIMEOUT, text: str = "") -> str:
        status, output = self.run(command, timeout, text)
        if status:
            raise Failure(f"{self.name}: '{command[:100]}' failed ({status}): "
                          f"{output.strip()[-500:]}")
        return output

    def wait_up(self) -> None:
        """Waits until the host's VM has booted."""
        deadline = time.monotonic() + BOOT_TIMEOUT
        while self.run_quietly("true"):
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} does not boot within {BOOT_TIMEOUT:.0f} s")
            time.sleep(1)

    def end(self) -> None:
        """Has the host's VM end."""
        if self._remote:
            try:
                self._ask({"command": None}, TIMEOUT)
            except OSError as error:
                raise Failure(f"{self.name} can't be told to end: {error}") from error
