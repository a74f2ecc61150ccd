# SPDX-License-Identifier: GPL-2.0-only
"""Verified traffic between a guest's NIC and the peer: TCP streams both ways, pings, and the
announcement of the guest.  scripts/guest/stream.c and scripts/peer/ping.c do the work.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Callable

from . import Failure, patience
from .guest import Guest
from .wire import NETMASK, PEER_NIC, Wire, guest_address, peer_address

TIMEOUT = patience(60)
PORT = 5001
# Bytes that each stream has to carry until it counts as going on
GOES_ON = 16 << 10


@dataclass
class Carried:
    """What the streams carried."""
    verified: int = 0
    errors: int = 0
    # What the errors are
    messages: list[str] = field(default_factory=list)

    def wrong(self, number: int, message: str) -> None:
        self.errors += number
        self.messages.append(message)


@dataclass
class Pings:
    """What became of the pings; all times are seconds of the host's clock."""
    sent: int = 0
    replies: list[float] = field(default_factory=list)
    announcements: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @staticmethod
    def parse(path: Path) -> "Pings":
        pings = Pings()
        # The last line may be being written
        for line in path.read_text(errors="replace").split("\n")[:-1]:
            kind, _, text = line.partition(" ")
            if kind == "reply":
                pings.replies.append(float(text.split()[0]))
            elif kind == "announcement":
                pings.announcements.append(float(text))
            elif kind == "sent":
                pings.sent = int(text)
            else:
                pings.errors.append(line)
        return pings

    def gap(self) -> tuple[float, float]:
        """The longest time without a reply: begin and end."""
        return max(pairwise(self.replies), key=lambda pair: pair[1] - pair[0],
                   default=(0.0, 0.0))


class Pinger:
    """The peer pings an address, from its construction to stop().  With a MAC address, a
    packet that announces that one counts too."""

    def __init__(self, wire: Wire, image: Path, log: Path, address: str, mac: str = ""):
        self._log = log
        arguments = [address, PEER_NIC, *([mac] if mac else [])]
        with log.open("w") as said:
            self._process = wire.start_peer(str(image / "ping"), *arguments,
                                            stdin=subprocess.PIPE, stdout=said)

    def pings(self) -> Pings:
        """What became of them so far."""
        return Pings.parse(self._log)

    def announced(self, since: float) -> bool:
        return any(when >= since for when in self.pings().announcements)

    def stop(self) -> Pings:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(TIMEOUT)
        return self.pings()


class Nic:
    """A NIC of the guest."""

    def __init__(self, guest: Guest, number: int, queue_pairs: int):
        """Waits until it appears, and brings it up."""
        self.guest = guest
        self.number = number
        self.name = f"eth{number}"
        self.address = guest_address(number)
        guest.wait_for(f"[ -e /sys/class/net/{self.name} ]", self.name)
        # The driver starts with one pair for each processor
        count = 0 if queue_pairs == 1 else queue_pairs
        # One NIC does not answer for another one's address
        guest.output("echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; "
                     f"nic {self.name} {count} {self.address} {NETMASK}")


@dataclass
class TrafficLoad:
    """How much traffic: streams, each both ways, and bytes per second of each in each
    direction (0: as many as it can)."""
    streams: int = 2
    rate: int = 256 << 10


class Traffic:
    """The traffic of one NIC of a guest, from its construction to stop()."""

    def __init__(self, nic: Nic, wire: Wire, image: Path, directory: Path, seed: int,
                 load: TrafficLoad):
        self._guest = guest = nic.guest
        self._address = nic.address
        self._there = f"/tmp/traffic-{nic.name}"
        self._here = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        options = [peer_address(nic.number),
                   *map(str, (PORT, load.streams, seed, load.rate))]
        with (directory / "said").open("w") as said:
            self._peer = wire.start_peer(str(image / "stream"), "listen", *options,
                                         str(directory), stdout=said)
        self._wait_here("listening")
        guest.output(f"rm -rf {self._there}; mkdir {self._there}; (stream connect "
                     f"{' '.join(options)} {self._there} >{self._there}/said 2>&1 &)")
        self._wait_here("ready")
        self._pinger = Pinger(wire, image, directory / "pings", self._address)
        self.goes_on()

    def _fail_if_said(self) -> None:
        """Neither end says anything unless something is wrong."""
        if said := (self._here / "said").read_text().strip():
            raise Failure(f"the peer's streams: {said[:300]}")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self._fail_if_said()
            if time.monotonic() > deadline:
                said = self._guest.run(f"cat {self._there}/said")[1].strip()
                raise Failure(f"after {TIMEOUT:.0f} s {what}" + (f": {said[:300]}" if said else ""))
            time.sleep(0.1)

    def _wait_here(self, file: str) -> None:
        self._wait((self._here / file).exists, f"the peer's streams are not {file}")

    def samples(self) -> list[tuple[float, list[int]]]:
        """Times, and the bytes of each stream: from the guest and to the guest in turns."""
        lines = (self._here / "samples").read_text().split("\n")[:-1]
        return [(float(fields[0]), [int(value) for value in fields[1:]])
                for fields in map(str.split, lines)]

    def _carried(self) -> list[int]:
        samples = self.samples()
        return samples[-1][1] if samples else []

    def goes_on(self) -> None:
        """Waits until every stream has carried more in both directions."""
        before: list[int] = []

        def all_went_on() -> bool:
            nonlocal before
            now = self._carried()
            before = before or now
            return bool(now) and all(value >= GOES_ON + start
                                     for value, start in zip(now, before, strict=True))

        self._wait(all_went_on, f"some streams of {self._address} do not go on")

    def wait_announced(self, since: float) -> None:
        """Waits until the guest has announced itself since a time."""
        self._wait(lambda: self._pinger.announced(since),
                   f"{self._address} has not announced itself")

    def stop(self) -> tuple[Carried, Pings]:
        """Ends the traffic, after it was seen to go on, and compares both ends."""
        self.goes_on()
        pings = self._pinger.stop()
        self._guest.output(f"touch {self._there}/stop")
        self._wait_here("ended")
        self._guest.wait_for(f"[ -e {self._there}/ended -o -s {self._there}/said ]",
                             "end of the streams")
        there = self._guest.output(f"cat {self._there}/said {self._there}/result")
        return self._compare(there, (self._here / "result").read_text(), pings), pings

    @staticmethod
    def _compare(there: str, here: str, pings: Pings) -> Carried:
        carried = Carried()
        for error in pings.errors:
            carried.wrong(1, f"ping: {error}")
        rows = list(zip(there.splitlines(), here.splitlines(), strict=True))
        for number, (guest, peer) in enumerate(rows):
            (guest_sent, guest_got, guest_wrong), (peer_sent, peer_got, peer_wrong) = (
                map(int, line.split()) for line in (guest, peer))
            carried.verified += guest_got + peer_got
            for sent, got, wrong, way in ((guest_sent, peer_got, peer_wrong, "from"),
                                          (peer_sent, guest_got, guest_wrong, "to")):
                if wrong:
                    carried.wrong(wrong, f"stream {number} {way} the guest: {wrong} wrong blocks")
                if got != sent:
                    carried.wrong(1, f"stream {number} {way} the guest: {got} of {sent} bytes")
        return carried
