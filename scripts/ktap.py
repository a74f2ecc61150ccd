#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Counts the results in KTAP files, each the output of one test program.

Usage: scripts/ktap.py [--known LIST] FILE...

Prints a line for each file, each failed test and each reason for skipped tests.  The last
line has three numbers, "PASSED FAILED SKIPPED".  FILE.status has the program's exit status;
if it is missing or empty, the program did not end by itself.  A test of the plan without a
result has failed.  So has a program with a bad exit status and no failed test, and one that
ran no test and gives no reason.

A line of LIST has a pattern of the name of a file, without .ktap, and one of a test: that test
is known to fail there.  It counts as passed, and as failed if it does not fail.  What follows
the two patterns is for the reader.
"""

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Optional

PLAN = re.compile(r"^1\.\.(\d+)(?: *# *SKIP *(.*))?", re.IGNORECASE)
RESULT = re.compile(r"^(not )?ok \d+ ?-? ?([^#]*)(?:#\s*(.*))?$")
SKIPPED = 4     # exit status of a kselftest that was skipped as a whole


@dataclass
class Count:
    passed: int = 0
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)      # of those that passed


def exit_status(file: Path) -> Optional[int]:
    try:
        return int(file.with_name(file.name + ".status").read_text())
    except (FileNotFoundError, ValueError):
        return None


def parse(text: str, status: Optional[int]) -> Count:
    count = Count()
    planned = None
    comments: list[str] = []
    for line in text.splitlines():
        if plan := PLAN.match(line):
            planned = int(plan[1])
            if plan[2] is not None:
                count.skipped.append(f"all: {plan[2] or 'no reason given'}")
        elif result := RESULT.match(line):
            name, directive = result[2].strip(), result[3] or ""
            if result[1]:
                count.failed.append("\n".join([name, *comments[-4:]]))
            elif directive.upper().startswith("SKIP"):
                count.skipped.append(f"{name}: {directive[4:].strip() or 'no reason given'}")
            else:
                count.passed += 1
                count.names.append(name)
            comments = []
        elif line.startswith("#") and not re.match(r"# +(RUN|OK|Starting) ", line):
            comments.append("    " + line.lstrip("# "))
    seen = count.passed + len(count.skipped) + len(count.failed)
    if planned is None:
        if status == SKIPPED:
            said = [line.lstrip("# ") for line in text.splitlines() if line.strip()]
            count.skipped.append(f"all: {said[-1] if said else 'no reason given'}")
        else:
            count.failed.append(f"no plan in the output (exit status {status})")
    elif seen < planned:
        count.failed += [f"{planned - seen} tests without a result (exit status {status})"] \
            + ["and another one"] * (planned - seen - 1)
    elif planned == 0 and not count.skipped:
        count.failed.append("ran no test")
    elif status is None:
        count.failed.append("did not end")
    elif status not in (0, SKIPPED) and not count.failed:
        count.failed.append(f"exit status {status}")
    return count


def read_known(file: Optional[Path]) -> list[list[str]]:
    """Both patterns of each line"""
    lines = file.read_text().splitlines() if file else []
    return [line.split()[:2] for line in lines if line.strip() and not line.startswith("#")]


def excuse(count: Count, patterns: list[str]) -> None:
    """What is known to fail, by patterns of tests, passes by failing"""
    def is_known(name: str) -> bool:
        return any(fnmatchcase(name.partition("\n")[0], pattern) for pattern in patterns)

    count.known = [name for name in count.failed if is_known(name)]
    passed = [name for name in count.names if is_known(name)]
    count.failed = [name for name in count.failed if not is_known(name)]
    count.failed += [f"{name}: is known to fail, and passed" for name in passed]
    count.passed += len(count.known) - len(passed)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--known", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    args = parser.parse_args()
    known = read_known(args.known)
    total = Count()
    for file in args.files:
        count = parse(file.read_text(errors="replace"), exit_status(file))
        excuse(count, [test for name, test in known if fnmatchcase(file.stem, name)])
        print(f"  {file.stem}: {count.passed} passed, {len(count.failed)} failed"
              + (f", {len(count.skipped)} skipped" if count.skipped else ""))
        for name in count.failed:
            print(f"    failed: {name}")
        for name in count.known:
            print("    fails, as is known: " + name.partition("\n")[0])
        reasons = Counter(name.partition(": ")[2] for name in count.skipped)
        for reason, times in reasons.most_common():
            print(f"    {times} skipped: {reason}")
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
    print(total.passed, len(total.failed), len(total.skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
