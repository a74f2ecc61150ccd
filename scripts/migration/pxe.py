# SPDX-License-Identifier: GPL-2.0-only
"""A machine without an operating system whose firmware boots from the network: iPXE, as the
option ROM of a NIC.  It asks for an address, the machine moves, and it asks again.
"""

import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Iterator

from . import Failure
from .carry import TIMEOUT, Load, describe, hand_over
from .combination import Hardware
from .host import Vf
from .net import nic_tour
from .qemu import Qemu
from .result import Result
from .step import PRECOPY, Step, attempt
from .timeline import Timeline
from .tour import Lab, Tour

# QEMU finds it among its own files
ROM = "pxe-virtio.rom"
# It needs little memory, and gives up after some 15 s without an answer
MEMORY_MB = 64
LOAD = Load("iPXE asks for an address", (0, 0))

ETH_P_ALL = 3
ETHERNET, IP_HEADER, UDP_HEADER = 14, 20, 8
# RFC 951: BOOTREQUEST to the server's port; offset and size of the client's MAC address
SERVER_PORT, REQUEST = 67, 1
CHADDR = slice(28, 34)


def client_of(frame: bytes) -> bytes:
    """The MAC address of the client that a frame is a request for an address of, or nothing."""
    packet = frame[ETHERNET:]
    message = packet[IP_HEADER + UDP_HEADER:]
    if (len(message) < CHADDR.stop or frame[12:14] != b"\x08\x00" or packet[0] != 0x45
            or packet[9] != socket.IPPROTO_UDP):
        return b""
    (port,) = struct.unpack_from(">H", packet, IP_HEADER + 2)
    return message[CHADDR] if (port, message[0]) == (SERVER_PORT, REQUEST) else b""


class Requests:
    """The requests for an address that come out of a VF, from now on."""

    def __init__(self, vf: Vf):
        self._vf = vf
        # A bridge takes what has a protocol from its ports before anyone else
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((vf.netdev, 0))
        self._socket.settimeout(1)

    def next(self, qemu: Qemu) -> bytes:
        """Waits for one; returns the MAC address of who asks."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            qemu.running()
            try:
                frame, address = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            client = client_of(frame)
            if client and address[2] != socket.PACKET_OUTGOING:
                return client
        raise Failure(f"after {TIMEOUT:.0f} s nobody behind {self._vf.address} has asked for "
                      "an address")

    def close(self) -> None:
        self._socket.close()


def asks_on(tour: Tour, result: Result) -> Timeline:
    """Boots from the first VF of a tour, and migrates to the other."""
    lab = tour.lab
    timeline = describe(tour, PRECOPY, LOAD, result)
    combination = replace(tour.combination, hardware=Hardware(boots_vf=True, rom=ROM))
    vfs = (tour.vfs[0], tour.other_vfs[0])

    def start(number: int, **options: Any) -> tuple[Qemu, Requests]:
        requests = Requests(vfs[number])
        stack.callback(requests.close)
        qemu = Qemu(f"{tour.name}-ipxe-{number}", lab.image, lab.logs, lab.run, [vfs[number]],
                    tour.emulators[number], combination, memory=MEMORY_MB, **options)
        stack.callback(qemu.quit)
        return qemu, requests

    with ExitStack() as stack:
        # First the destination: once iPXE asks there is no time to lose
        destination, there = start(1, incoming=True)
        source, here = start(0)
        lab.progress("iPXE boots from the VF")
        client = here.next(source)
        hand_over(tour, PRECOPY, result, timeline, source, destination)
        lab.progress("iPXE asks once more")
        again = there.next(destination)
        if again != client:
            raise Failure(f"{client.hex(':')} asked for an address, and {again.hex(':')} after "
                          "the move")
    result.net_bytes_verified = len(client) + len(again)
    return timeline


def net_pxe(lab: Lab) -> Iterator[Step]:
    """iPXE boots from a NIC, and the machine moves."""
    tour = nic_tour(lab, "net-pxe")
    lab.end_tour()
    result = Result("net-pxe")
    attempt(tour, result, lambda: asks_on(tour, result))
    # A picture would need traffic over time
    yield result, None
