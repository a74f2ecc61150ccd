#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures the network of a guest with a VF against that of QEMU's virtio-net with vhost.

The guest has both NICs, and the host's ends of both are on one bridge with the peer.  TCP is
measured over one and the other in turns (scripts/guest/speed.c): bytes per second from the
guest and to the guest, and requests per second.  Prints figures, and writes DIR/NAME.json for
each, like vfmig_bench.

Runs as root where the modules are installed and /dev/kvm works: in the test VM, called by
scripts/bench, or on any other machine.  Needs the guest of scripts/guest-image.  Exit
status: 0 if all targets were met; else 1.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from migration import Failure, patience
from migration.combination import Emulator, Hardware, wirings
from migration.figure import ROUNDS, bench_parser, report, run_bench, take_with_guests
from migration.tour import Lab
from migration.wire import peer_address

PORT = 5002
# A round takes two seconds, and none should take longer than this
ROUND = patience(20)
# Until the peer listens
TIMEOUT = patience(20)
TARGET = 1.0


@dataclass(frozen=True)
class Figure:
    """What the guest does, and what the figure is called."""
    name: str
    action: str
    unit: str
    scale: float


FIGURES = (
    Figure("net_from_guest", "send", "MB/s", 1e6),
    Figure("net_to_guest", "receive", "MB/s", 1e6),
    Figure("net_requests", "ask", "requests/s", 1),
)


def parse_arguments() -> argparse.Namespace:
    parser = bench_parser(__doc__, "net")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N",
                        help="default: %(default)s")
    return parser.parse_args()


def progress(text: str) -> None:
    print(f"net: {text}", flush=True)


def start_server(lab: Lab) -> None:
    """The peer's end of the connections; returns when it listens."""
    assert lab.wire
    said = lab.logs / "served"
    with said.open("w") as file:
        lab.wire.start_peer(str(lab.image / "speed"), "serve", str(PORT), stdout=file)
    deadline = time.monotonic() + TIMEOUT
    while said.read_text() != "listening\n":
        if time.monotonic() > deadline:
            raise Failure(f"the peer does not listen: {said.read_text().strip()}")
        time.sleep(0.1)


def take(lab: Lab, hardware: Hardware, samples: dict[str, list[str]], rounds: int) -> None:
    """Boots a guest and takes the figures that there are not yet."""
    assert lab.wire
    tour = lab.tour("bench", [[lab.nics[0]]], hardware=hardware)
    try:
        start_server(lab)
        for figure in FIGURES:
            if figure.name not in samples:
                samples[figure.name] = tour.guest.output(
                    f"speed {figure.action} {PORT} {rounds} {peer_address(0)} {peer_address(1)}",
                    rounds * ROUND).splitlines()
    finally:
        lab.wire.end_peers()
        lab.end_tour()


def report_all(output: Path, samples: dict[str, list[str]]) -> bool:
    met = True
    for figure in FIGURES:
        pairs = [tuple(map(float, line.split())) for line in samples[figure.name]]
        vf, vhost = ([pair[path] / figure.scale for pair in pairs] for path in (0, 1))
        met &= report(output, figure.name, figure.unit, TARGET, ("vf", vf), ("vhost", vhost))
    return met


def main() -> int:
    arguments = parse_arguments()
    samples: dict[str, list[str]] = {}
    logs = arguments.output / "net"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as run:
        lab = Lab(arguments.image, logs, Path(run), [Emulator.find(arguments.qemu)],
                  wirings()[0], progress)
        try:
            lab.set_nics(1, 1)
            assert lab.wire
            hardware = Hardware(taps=(lab.wire.make_tap(),))
            take_with_guests(lab, lambda: take(lab, hardware, samples, arguments.rounds),
                             lambda: f"{len(samples)} figures")
        finally:
            lab.close()
    return 0 if report_all(arguments.output, samples) else 1


if __name__ == "__main__":
    run_bench(main)
