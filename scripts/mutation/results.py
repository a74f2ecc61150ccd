# SPDX-License-Identifier: GPL-2.0-only
"""What became of each fault: a line of JSON each, so that an interrupted run can be continued."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

KILLED, SURVIVED, UNREACHED = "killed", "survived", "not reached"


@dataclass
class Outcome:
    number: int
    fault: str
    outcome: str                        # one of the above, or why it does not count
    by: str = ""                        # the program that found it
    how: str = ""                       # what it said
    programs: list[str] = field(default_factory=list)   # that ran


class Results:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.outcomes: dict[int, Outcome] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                outcome = Outcome(**json.loads(line))
                self.outcomes[outcome.number] = outcome

    def add(self, outcome: Outcome) -> None:
        """A later one replaces an earlier one with the same number."""
        self.outcomes[outcome.number] = outcome
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def with_outcome(self, *outcomes: str) -> list[Outcome]:
        return [entry for entry in self.outcomes.values() if entry.outcome in outcomes]

    def report(self) -> str:
        killed = self.with_outcome(KILLED)
        survived = self.with_outcome(SURVIVED)
        unreached = self.with_outcome(UNREACHED)
        counted = len(killed) + len(survived) + len(unreached)
        text = [f"{counted} faults: {len(killed)} found, {len(survived)} survived, "
                f"{len(unreached)} in lines that no test reaches; "
                f"{len(self.outcomes) - counted} more did not compile or changed nothing"]
        for entry in survived:
            text += [f"survived: {entry.fault}", f"    ran: {' '.join(entry.programs)}"]
        text += [f"not reached: {entry.fault}" for entry in unreached]
        return "\n".join(text)
