#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates guests with simulated VFs between QEMU processes, under verified I/O.

Runs as root where the modules are installed and /dev/kvm works: in the test VM,
called by scripts/run, or on a machine of one's own.  Needs scripts/guest-image's
guest.  Exit status: 0 if every migration completed with no error, else 1.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from migration import Failure, LeftOut, summary
from migration.combination import Emulator, wirings
from migration.picture import draw
from migration.result import Result
from migration.scenarios import SCENARIOS, Step
from migration.timeline import Timeline
from migration.tour import Lab

TOP = Path(__file__).resolve().parent.parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=2, metavar="N",
                        help="migrations in a row in the scenario one-vf (default: 2)")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME",
                        help=f"only this one, may be repeated: {', '.join(SCENARIOS)}")
    parser.add_argument("--qemu", action="append", metavar="PROGRAM",
                        help="a QEMU; of two, the first does most and the second is the "
                        "newest (default: qemu-system-x86_64)")
    parser.add_argument("--wiring", choices=[wiring.name for wiring in wirings()],
                        help="how the VFs of the scenarios that don't say so are given to QEMU: "
                        f"one of %(choices)s (default: {wirings()[0].name})")
    parser.add_argument("--output", type=Path, default=TOP / "build/run", metavar="DIR",
                        help="where summary.json and the logs go (default: build/run)")
    parser.add_argument("--image", type=Path, default=TOP / "build/guest", metavar="DIR",
                        help="the guest (default: build/guest)")
    arguments = parser.parse_args()
    arguments.qemu = arguments.qemu or ["qemu-system-x86_64"]
    if arguments.repeat < 1:
        parser.error("--repeat must be at least 1")
    if len(arguments.qemu) > 2:
        parser.error("--qemu can be given twice, not more often")
    return arguments


def draw_pages(steps: list[Step], output: Path) -> list[str]:
    """One picture of each migration, and the one to look at first: what PRE_COPY is
    good for, else just the last migration.  Returns the latter's files."""
    pages = [(result, timeline) for result, timeline in steps if timeline]
    for number, (result, timeline) in enumerate(pages, 1):
        name = f"{number:02}-{result.scenario.replace(', ', '-')}"
        result.pictures = draw([timeline], output / name, ("svg",))
    first = [timeline for result, timeline in pages
             if result.scenario == "downtime" and result.guest_io != "idle"]
    if not pages:
        return []
    return draw(first or [pages[-1][1]], output / "timeline", ("svg", "png"))


def main() -> int:
    arguments = parse_arguments()
    begin = time.monotonic()
    steps: list[Step] = []
    emulators = [Emulator.find(program) for program in arguments.qemu]
    wiring = next((wiring for wiring in wirings() if wiring.name == arguments.wiring),
                  wirings()[0])
    facts: dict[str, Any] = {
        "kernel": os.uname().release,
        "qemu": ", ".join(map(str, emulators)),
        "accel": os.environ.get("VFMIG_ACCEL", "host"),
        "timeline": [],
        "left_out": {},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    summary_file = arguments.output / "summary.json"

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - begin:6.1f} s] {text}", flush=True)

    def take(result: Result, timeline: Optional[Timeline] = None) -> None:
        steps.append((result, timeline))
        progress(f"{result.scenario}: {result.outcome}"
                 + (f", {result.error}" if result.error else "")
                 + f", {result.io_verify_errors} verification errors, "
                 f"{result.memory_verify_errors} memory errors, "
                 f"{result.guest_errors} guest errors")
        summary.write_json(summary_file, facts, [result for result, _ in steps], False)

    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as directory:
        lab = Lab(arguments.image, arguments.output, Path(directory), emulators, wiring, progress)
        try:
            for name in arguments.scenario or SCENARIOS:
                try:
                    for result, timeline in SCENARIOS[name](lab, arguments.repeat):
                        take(result, timeline)
                except LeftOut as reason:
                    progress(f"{name}: left out, {reason}")
                    facts["left_out"][name] = str(reason)
                except Failure as failure:
                    lab.end_tour()
                    take(Result(name, status="failed", error=str(failure)))
        finally:
            progress("removing the VFs and the modules")
            lab.close()

    progress("drawing the pictures")
    try:
        facts["timeline"] = draw_pages(steps, arguments.output)
    except Failure as failure:
        progress(f"no picture: {failure}")
    results = [result for result, _ in steps]
    passed = all(result.good() for result in results)
    summary.write_json(summary_file, facts, results, passed)
    print(f"\n{summary.table(results)}\n")
    for picture in facts["timeline"]:
        print(f"{arguments.output / picture}: device state, bytes left and guest I/O over time")
    print(f"{summary_file}: "
          f"{'all migrations completed with 0 errors' if passed else 'FAILED'}", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure_of_the_run:
        print(f"migrate.py: {failure_of_the_run}", file=sys.stderr)
        sys.exit(1)
