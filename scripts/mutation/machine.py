# SPDX-License-Identifier: GPL-2.0-only
"""Boots of test VMs, some at a time, until all faults are judged.

What ends a VM, or makes it stand still, was the doing of the fault that it was at.  A VM begins
with no program when its time is over; the next one goes on from there.
"""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any, Iterator, Optional

from mutation import Failure

POLL_SECONDS = 3
# What is under way may take so much longer than it should, on a busy machine
PATIENCE = 45
# From the end of a VM's time to its time-out, beside the last program
MARGIN = 150
# No VM boots for less time
LEAST = 45


@dataclass
class Entry:
    number: int
    modules: Path
    programs: list[tuple[Path, int]]    # with limits in seconds


@dataclass
class Verdict:
    number: int
    programs: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    over: bool = False

    def add(self, later: "Verdict") -> None:
        self.programs += later.programs
        self.seconds.update(later.seconds)
        self.failed.update(later.failed)
        self.over = later.over


class Machine:
    """@seconds is the time of a VM, @total that of all; @environment is set in them."""

    def __init__(self, top: Path, directory: Path, seconds: int, total: float,
                 environment: list[str]) -> None:
        self.top, self.directory, self.seconds = top, directory, seconds
        self.end = time.monotonic() + total
        self.environment = environment
        self.status = 0
        self.still = ""                 # or where the VM stood still

    def part(self, index: int) -> "Machine":
        """Another one, which works at the same time."""
        return Machine(self.top, self.directory / f"vm{index}", self.seconds,
                       self.end - time.monotonic(), self.environment)

    def judge_in(self, vms: int, entries: list[Entry]) -> Iterator[Verdict]:
        """The same as judge() in so many VMs, each with its share."""
        done: Queue[Optional[Verdict]] = Queue()

        def work(index: int) -> None:
            try:
                for verdict in self.part(index).judge(entries[index::vms]):
                    done.put(verdict)
            finally:
                done.put(None)

        with ThreadPoolExecutor(vms) as pool:
            works = [pool.submit(work, index) for index in range(vms)]
            for _ in works:
                while verdict := done.get():
                    yield verdict
            for ended in works:
                ended.result()

    def judge(self, entries: list[Entry]) -> Iterator[Verdict]:
        """Of those that were judged before the time was up, as soon as they are."""
        parts = {entry.number: Verdict(entry.number) for entry in entries}
        while not self.is_up() and not all(part.over for part in parts.values()):
            left = [self.rest(entry, parts[entry.number]) for entry in entries
                    if not parts[entry.number].over]
            for new in self.boot(left):
                part = parts[new.number]
                part.add(new)
                if part.over:
                    yield part

    def is_up(self) -> bool:
        return time.monotonic() > self.end - LEAST

    @staticmethod
    def rest(entry: Entry, part: Verdict) -> Entry:
        programs = [(path, limit) for path, limit in entry.programs
                    if path.stem not in part.programs]
        return Entry(entry.number, entry.modules, programs)

    def boot(self, entries: list[Entry]) -> list[Verdict]:
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in [*self.directory.glob("*.result"), self.directory / "now",
                    self.directory / "beat"]:
            old.unlink(missing_ok=True)
        self.run_vm(entries)
        verdicts = [found for entry in entries if (found := self.verdict(entry.number))]
        if now := self.now():
            self.blame(now, verdicts)
        elif not verdicts:
            raise Failure(f"the test VM ended with status {self.status} before the first fault: "
                          f"see {self.directory / 'vm'}")
        return verdicts

    def run_vm(self, entries: list[Entry]) -> None:
        self.still = ""
        seconds = int(min(self.seconds, self.end - time.monotonic()))
        plan = self.directory / "plan"
        plan.write_text(json.dumps({"seconds": seconds,
                                    "entries": [self.as_json(entry) for entry in entries]}))
        limit = max(limit for entry in entries for _, limit in entry.programs or [("", 0)])
        options = [option for setting in self.environment for option in ("--env", setting)]
        command = [self.top / "scripts/vm", "--timeout", str(seconds + limit + MARGIN),
                   "--allow-warnings", "--log", self.directory / "vm", "--append",
                   "hugepagesz=1G", "--append", "hugepages=1", "--append", "kmemleak=off",
                   *options, "--", self.top / "scripts/mutation/in_vm.py", plan]
        with subprocess.Popen(command, cwd=self.top / "tools/testing/selftests/vfmig") as vm:
            while vm.poll() is None:
                self.end_if_still()
                time.sleep(POLL_SECONDS)
        self.status = vm.returncode
        if self.status == 2:
            raise Failure("the test VM can't be run")

    def end_if_still(self) -> None:
        now = self.now()
        if self.age("beat") <= PATIENCE and (
                not now or self.age("now") <= now["limit"] + PATIENCE):
            return
        if now and not self.still:
            self.still = f"it stands still, in {now['what']}"
        try:
            os.kill(int((self.directory / "vm" / "pid").read_text()), signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            pass                        # it has ended

    def age(self, name: str) -> float:
        """Seconds since the VM has written the file."""
        file = self.directory / name
        return time.time() - file.stat().st_mtime if file.exists() else 0

    def now(self) -> dict[str, Any]:
        """What is under way, or was when the VM ended, or nothing."""
        file = self.directory / "now"
        try:
            found: dict[str, Any] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}                   # not yet, or half of it
        return found

    def blame(self, now: dict[str, Any], verdicts: list[Verdict]) -> None:
        """What ended the VM failed."""
        number, what = now["number"], now["what"]
        verdict = next((found for found in verdicts if found.number == number), None)
        if not verdict:
            verdict = Verdict(number)
            verdicts.append(verdict)
        verdict.programs.append(what)
        verdict.failed.setdefault(what, self.still or self.end_of_vm())
        verdict.over = True

    @staticmethod
    def as_json(entry: Entry) -> dict[str, Any]:
        return {"number": entry.number, "modules": str(entry.modules),
                "programs": [[str(path), limit] for path, limit in entry.programs]}

    def verdict(self, number: int) -> Optional[Verdict]:
        file = self.directory / f"{number}.result"
        if not file.exists():
            return None
        entry = json.loads(file.read_text())
        return Verdict(number, entry["programs"], entry["seconds"], entry["failed"],
                       entry["over"])

    def end_of_vm(self) -> str:
        complaint = self.directory / "vm" / "complaint"
        if self.status == 124:
            return "the VM's time was up"
        if complaint.exists():
            return complaint.read_text().strip()
        return f"the VM ended with status {self.status}"
