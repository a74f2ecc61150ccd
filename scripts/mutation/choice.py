# SPDX-License-Identifier: GPL-2.0-only
"""Which test programs reach a line, from what scripts/coverage left behind."""

import json
from dataclasses import dataclass
from pathlib import Path

from mutation import Failure


@dataclass(frozen=True)
class Reach:
    seconds: int
    files: dict[str, dict[str, int]]    # how often each line was executed

    def count(self, file: str, line: int, last: int) -> int:
        """Of some lines gcov has no count: they belong to a statement that began before, or to
        a function that is inlined.  Then that of the line before counts."""
        counts = {int(number): count for number, count in self.files.get(file, {}).items()}
        inside = [counts[number] for number in range(line, last + 1) if number in counts]
        before = max((number for number in counts if number < line), default=line)
        return max(inside) if inside else counts.get(before, 0)


class Choice:
    def __init__(self, lines: Path) -> None:
        self.programs: dict[str, Reach] = {}
        for file in sorted(lines.glob("*.json")):
            entry = json.loads(file.read_text())
            self.programs[file.stem] = Reach(max(entry["seconds"], 1), entry["files"])

    def seconds(self, program: str) -> int:
        return self.programs[program].seconds if program in self.programs else 1

    def reaching(self, file: str, line: int, last: int) -> list[str]:
        """Those that execute a line from @line to @last, first those that do it most per second:
        the line is likely to be their subject, and they are over soon."""
        if not self.programs:
            raise Failure("which test reaches which line is not known: run scripts/coverage")
        found = []
        for name, reach in self.programs.items():
            if count := reach.count(file, line, last):
                found.append((-min(count, 10000) / reach.seconds ** 2, name))
        return [name for _, name in sorted(found)]
