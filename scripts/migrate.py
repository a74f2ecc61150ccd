#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates guests with simulated VFs between QEMU processes, under verified I/O.

Runs as root where the modules are installed and /dev/kvm works: in the test VM,
called by scripts/run, or on a machine of one's own.  Needs scripts/guest-image's
guest.  Exit status: 0 if every migration completed with no error, else 1.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from migration import Failure, GuestLost, LeftOut, behaviour, report, summary
from migration.combination import Emulator, wirings
from migration.misbehave import CASES
from migration.picture import draw
from migration.result import Result
from migration.scenarios import BY_NAME, SCENARIOS, Step
from migration.timeline import Timeline
from migration.tour import Course, Lab
from migration.two_hosts import ACTS

TOP = Path(__file__).resolve().parent.parent

# Scenarios of a run that may be begun again
MAX_LOST = 2


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=1, metavar="N",
                        help="how often the scenario one-vf is run (default: 1)")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME",
                        help=f"only this one, may be repeated: {', '.join(SCENARIOS)}; without "
                        f"it all but these are run: {', '.join(BY_NAME)}")
    parser.add_argument("--also", action="append", default=[], choices=BY_NAME, metavar="NAME",
                        help="this one after the others")
    parser.add_argument("--qemu", action="append", metavar="PROGRAM",
                        help="a QEMU; of two, the first does most and the second is the "
                        "newest (default: qemu-system-x86_64)")
    parser.add_argument("--wiring", choices=[wiring.name for wiring in wirings()],
                        help="how the VFs of the scenarios that don't say so are given to QEMU: "
                        f"one of %(choices)s (default: {wirings()[0].name})")
    parser.add_argument("--fault", action="append", default=[], metavar="LINE",
                        choices=[case.fault for case in CASES],
                        help="of the scenario misbehave only this fault, may be repeated: "
                        f"{', '.join(case.fault for case in CASES)}")
    parser.add_argument("--alone", default="scripts/run boots one", metavar="REASON",
                        help="why there is no second host for two-hosts; empty if there is")
    parser.add_argument("--act", action="append", default=[], metavar="NAME", choices=ACTS,
                        help="of the scenario two-hosts only this act, may be repeated: "
                        f"{', '.join(ACTS)}")
    parser.add_argument("--libvirt", type=Path, metavar="ROOT",
                        help="of two-hosts, a libvirt with its QEMU (scripts/libvirt), instead "
                        "of the machine's")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--rounds", type=int, default=Course.rounds, metavar="N",
                       help="migrations of the scenario soak (default: %(default)s)")
    limit.add_argument("--hours", type=float, default=0, metavar="H",
                       help="how long the scenario soak goes on, instead of --rounds")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32), metavar="N",
                        help="of what the scenario soak chooses (default: a random one)")
    parser.add_argument("--output", type=Path, default=TOP / "build/run", metavar="DIR",
                        help="where summary.json, report.html and the logs go (default: build/run)")
    parser.add_argument("--image", type=Path, default=TOP / "build/guest", metavar="DIR",
                        help="the guest (default: build/guest)")
    arguments = parser.parse_args()
    arguments.qemu = arguments.qemu or ["qemu-system-x86_64"]
    if arguments.repeat < 1:
        parser.error("--repeat must be at least 1")
    if arguments.rounds < 1 or arguments.hours < 0:
        parser.error("--rounds must be at least 1, and --hours not negative")
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


def scenario_names(arguments: argparse.Namespace) -> list[str]:
    every = [name for name in SCENARIOS if name not in BY_NAME]
    return [name for name in (arguments.scenario or every) + arguments.also
            for _ in range(arguments.repeat if name == "one-vf" else 1)]


def guest_release(image: Path) -> str:
    """The release of the guest's kernel."""
    try:
        return (image / "release").read_text().strip()
    except OSError as error:
        raise Failure(f"no guest in {image}, scripts/guest-image makes it: {error}") from error


class Run:
    """The scenarios of one call: what holds for all of them, and what came of each."""

    def __init__(self, arguments: argparse.Namespace):
        self._begin = time.monotonic()
        self._output: Path = arguments.output
        self._emulators = [Emulator.find(program) for program in arguments.qemu]
        self._wiring = next((wiring for wiring in wirings() if wiring.name == arguments.wiring),
                            wirings()[0])
        self._faults: list[str] = arguments.fault
        self._alone: str = arguments.alone
        self._acts: list[str] = arguments.act
        self._libvirt: Optional[Path] = arguments.libvirt
        self._course = Course(arguments.rounds, arguments.hours, arguments.seed)
        self._steps: list[Step] = []
        self.summary_file = self._output / "summary.json"
        self.facts: dict[str, Any] = {
            "kernel": os.uname().release,
            "guest_kernel": guest_release(arguments.image),
            "qemu": ", ".join(map(str, self._emulators)),
            "accel": os.environ.get("VFMIG_ACCEL", "host"),
            "timeline": [],
            "left_out": {},
            "lost_guests": [],
        }

    @property
    def results(self) -> list[Result]:
        return [result for result, _ in self._steps]

    @property
    def passed(self) -> bool:
        return bool(self._steps) and all(result.good() for result in self.results)

    def progress(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begin:6.1f} s] {text}", flush=True)

    def lab(self, image: Path, run: Path) -> Lab:
        return Lab(image, self._output, run, self._emulators, self._wiring, self.progress,
                   self._faults, self._alone, self._acts, self._libvirt,
                   self._course, self.facts["lost_guests"])

    def _take(self, result: Result, timeline: Optional[Timeline] = None) -> None:
        self._steps.append((result, timeline))
        self.progress(f"{result.scenario}: {result.outcome}"
                      + (f", {result.error}" if result.error else "")
                      + f", {result.io_verify_errors} verification errors, "
                      f"{result.memory_verify_errors} memory errors, "
                      f"{result.net_errors} network errors, "
                      f"{result.guest_errors} guest errors")
        # What ends before its time leaves these
        summary.write_json(self.summary_file, self.facts, self.results, False)
        report.write(self._output, self.facts, self.results, "not at its end", False)

    def scenario(self, name: str, lab: Lab) -> None:
        """All migrations of one scenario.  An emulated processor may lose a guest, once in
        many migrations (see Documentation/testing.rst): there, and there only, the
        scenario gets a second chance, and the summary says so."""
        before = len(self._steps)
        emulated = self.facts["accel"] == "tcg"
        chances = 2 if emulated and len(self.facts["lost_guests"]) < MAX_LOST else 1
        while chances:
            chances -= 1
            try:
                for result, timeline in SCENARIOS[name](lab):
                    self._take(result, timeline)
                return
            except LeftOut as reason:
                self.progress(f"{name}: left out, {reason}")
                self.facts["left_out"][name] = str(reason)
                return
            except (Failure, OSError) as failure:
                lab.end_tour()
                if not isinstance(failure, GuestLost) or not chances:
                    self._take(Result(name, status="failed", error=str(failure)))
                    return
                self.progress(f"{name}: the guest was lost, once more: {failure}")
                self.facts["lost_guests"].append(name)
                del self._steps[before:]

    def draw(self) -> None:
        self.progress("drawing the pictures")
        try:
            self.facts["timeline"] = draw_pages(self._steps, self._output)
        except Failure as failure:
            self.progress(f"no picture: {failure}")

    def report(self) -> None:
        verdict = "all migrations completed with 0 errors" if self.passed else "FAILED"
        summary.write_json(self.summary_file, self.facts, self.results, self.passed)
        report.write(self._output, self.facts, self.results, verdict, self.passed)
        if any(result.behaviour for result in self.results):
            (self._output / "vmm-behaviour.rst").write_text(
                "\n".join(behaviour.lines(self.results)) + "\n")
        print(f"\n{summary.table(self.results)}\n")
        for name, reason in self.facts["left_out"].items():
            print(f"{name}: left out, {reason}")
        if self.facts["lost_guests"]:
            print("Begun again, as the emulated processor lost the guest: "
                  f"{', '.join(self.facts['lost_guests'])}")
        for picture in self.facts["timeline"]:
            print(f"{self._output / picture}: device state, bytes left and guest I/O over time")
        print(f"{self._output / report.NAME}: all of this, to be opened in a browser")
        print(f"{self.summary_file}: {verdict}", flush=True)


def main() -> int:
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    run = Run(arguments)
    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as directory:
        lab = run.lab(arguments.image, Path(directory))
        try:
            for name in scenario_names(arguments):
                run.scenario(name, lab)
        finally:
            run.progress("removing the VFs and the modules")
            lab.close()
    run.draw()
    run.report()
    return 0 if run.passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure_of_the_run:
        print(f"migrate.py: {failure_of_the_run}", file=sys.stderr)
        sys.exit(1)
