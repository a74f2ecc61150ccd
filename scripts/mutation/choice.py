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

    def count(self, file: str, line: int) -> int:
        return self.files.get(file, {}).get(str(line), 0)


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
            count = max(reach.count(file, number) for number in range(line, last + 1))
            if count:
                found.append((-min(count, 10000) / reach.seconds ** 2, name))
        return [name for _, name in sorted(found)]
