# SPDX-License-Identifier: GPL-2.0-only
"""The network on the host: a bridge with the host's ends of the guests' NICs, and a peer in
a namespace of its own on the same bridge.  No address of it is outside of the two.
"""

import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import IO, Optional

from . import Failure
from .host import modprobe
BRIDGE = "vfmig-br"
NAMESPACE = "vfmig-peer"
# The peer's link to the bridge: the host's end, and the peer's
LINK, PEER_NIC = "vfmig-link", "eth0"
# The host's end of a NIC that QEMU emulates
TAP = "vfmig-tap"
# Each NIC of a guest has a network of its own, so each is on the peer's only way to the
# address of that NIC.  Of RFC 5737: nobody else uses these.
NETWORK, PREFIX = "192.0.2", 28
NETMASK = IPv4Network(f"0.0.0.0/{PREFIX}").netmask
MAX_NICS = 2


def peer_address(nic: int) -> str:
    """Of the peer, in the network of a guest's NIC."""
    return f"{NETWORK}.{16 * nic + 1}"


def guest_address(nic: int) -> str:
    return f"{NETWORK}.{16 * nic + 2}"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Wire:
    """The bridge and the peer, until close()."""

    def __init__(self) -> None:
        self._peers: list[subprocess.Popen] = []
        # What a run that was killed left
        self._remove()
        try:
            self.make_bridge()
            ip("netns", "add", NAMESPACE)
            ip("link", "add", LINK, "type", "veth", "peer", "name", PEER_NIC, "netns", NAMESPACE)
            for nic in range(MAX_NICS):
                ip("-n", NAMESPACE, "address", "add", f"{peer_address(nic)}/{PREFIX}",
                   "dev", PEER_NIC)
            ip("-n", NAMESPACE, "link", "set", PEER_NIC, "up")
            ip("-n", NAMESPACE, "link", "set", "lo", "up")
            self.attach(LINK)
        except (Failure, OSError):
            self._remove()
            raise

    @staticmethod
    def make_bridge() -> None:
        ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
        # Nobody on it asks for multicast groups, and looking for them takes seconds
        (Path("/sys/class/net") / BRIDGE / "bridge/multicast_snooping").write_text("0")
        ip("link", "set", BRIDGE, "up")

    @staticmethod
    def attach(netdev: str) -> None:
        """Makes a netdev a port of the bridge.  It stays one until it is removed."""
        ip("link", "set", netdev, "master", BRIDGE, "up")

    @staticmethod
    def make_tap() -> str:
        """The host's end of a NIC of QEMU's own, with vhost, on the bridge."""
        modprobe("vhost_net")
        ip("tuntap", "add", TAP, "mode", "tap")
        Wire.attach(TAP)
        return TAP

    def start_peer(self, *command: str, stdin: Optional[int] = None,
                   stdout: Optional[IO[str]] = None) -> subprocess.Popen:
        """Runs a program as the peer."""
        process = subprocess.Popen(["ip", "netns", "exec", NAMESPACE, *command],
                                   stdin=stdin or subprocess.DEVNULL,
                                   stdout=stdout or subprocess.DEVNULL, stderr=stdout, text=True)
        self._peers.append(process)
        return process

    def end_peers(self) -> None:
        """Ends what start_peer() started and is still there."""
        for process in self._peers:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        self._peers = []

    @staticmethod
    def _remove() -> None:
        for arguments in (("netns", "delete", NAMESPACE), ("link", "delete", TAP),
                          ("link", "delete", BRIDGE)):
            subprocess.run(["ip", *arguments], capture_output=True, check=False)

    def close(self) -> None:
        self.end_peers()
        self._remove()
