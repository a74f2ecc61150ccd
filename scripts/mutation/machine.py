# SPDX-License-Identifier: GPL-2.0-only
"""Boots of the test VM, one after the other, until all faults are judged.

What ends a VM was the doing of the fault that it was at.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mutation import Failure


@dataclass
class Entry:
    number: int
    modules: Path
    programs: list[tuple[Path, int]]    # with limits in seconds
    all: bool = False                   # all of the programs, also if one fails


@dataclass
class Verdict:
    number: int
    programs: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Machine:
    def __init__(self, top: Path, directory: Path, timeout: int, boots: int) -> None:
        self.top, self.directory, self.timeout = top, directory, timeout
        self.boots = boots              # that are left

    def judge(self, entries: list[Entry]) -> list[Verdict]:
        """Of those that were judged before the boots were used up."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in self.directory.glob("*.result"):
            old.unlink()
        verdicts: list[Verdict] = []
        left = list(entries)
        while left and self.boots:
            self.boots -= 1
            new = self.boot(left)
            verdicts += new
            judged = {verdict.number for verdict in verdicts}
            left = [entry for entry in left if entry.number not in judged]
        return verdicts

    def boot(self, entries: list[Entry]) -> list[Verdict]:
        now = self.directory / "now"
        now.unlink(missing_ok=True)
        plan = self.directory / "plan"
        plan.write_text(json.dumps([self.as_json(entry) for entry in entries]))
        status = subprocess.run(
            [self.top / "scripts/vm", "--timeout", str(self.timeout), "--allow-warnings",
             "--log", self.directory / "vm", "--append", "hugepagesz=1G", "--append",
             "hugepages=1", "--", self.top / "scripts/mutation/in_vm.py", plan],
            cwd=self.top / "tools/testing/selftests/vfmig", check=False).returncode
        if status == 2:
            raise Failure("the test VM can't be run")
        verdicts = [found for entry in entries if (found := self.verdict(entry.number))]
        judged = {verdict.number for verdict in verdicts}
        if now.exists() and (number := int(now.read_text())) not in judged:
            verdicts.append(Verdict(number, failed={"the VM": self.end_of_vm(status)}))
        elif not judged:
            raise Failure(f"the test VM ended with status {status} before the first fault: see "
                          f"{self.directory / 'vm'}")
        return verdicts

    @staticmethod
    def as_json(entry: Entry) -> dict[str, Any]:
        return {"number": entry.number, "modules": str(entry.modules), "all": entry.all,
                "programs": [[str(path), limit] for path, limit in entry.programs]}

    def verdict(self, number: int) -> Optional[Verdict]:
        file = self.directory / f"{number}.result"
        if not file.exists():
            return None
        entry = json.loads(file.read_text())
        return Verdict(number, entry["programs"], entry["seconds"], entry["failed"])

    def end_of_vm(self, status: int) -> str:
        complaint = self.directory / "vm" / "complaint"
        if status == 124:
            return "the VM's time was up"
        if complaint.exists():
            return complaint.read_text().strip()
        return f"the VM ended with status {status}"
