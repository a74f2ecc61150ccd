# SPDX-License-Identifier: GPL-2.0-only
"""What VMMs made of faults, as tables in reStructuredText."""

import re
import shlex
from itertools import groupby
from typing import Iterable, Iterator

from .result import Behaviour, Result

# So much of what QEMU said is enough to find the rest in its log
WORDS = 320

COLUMNS = ("when, side, and the command", "outcome", "QEMU says")
WIDTHS = "35 25 40"


def repeat_command(behaviour: Behaviour) -> str:
    """The command that runs such a row once more.  Some faults need a kernel with IOMMUFD, or
    a newer one."""
    kernel = "KERNEL=mainline " if re.search("^log-|reinit", behaviour.fault) else ""
    return f"{kernel}scripts/run --scenario misbehave --fault {shlex.quote(behaviour.fault)}"


def quoted(text: str) -> str:
    return "".join(f"\\{char}" if char in "*`|_\\" else char for char in text)


def said(behaviour: Behaviour) -> str:
    """QEMU's own words: the reason of the migration, and the first that each side wrote."""
    texts = [behaviour.reason] if behaviour.reason else []
    for side in ("source", "destination"):
        first = next((line for line in behaviour.words if line.startswith(f"{side}: ")), "")
        if first and first != f"{side}: {behaviour.reason}":
            texts.append(first)
    text = "; ".join(texts) or "nothing"
    return text if len(text) <= WORDS else text[:WORDS] + "..."


def became(result: Result, fault: Behaviour) -> Iterator[str]:
    """The outcome, the better one that there is, and what is to be known besides."""
    if fault.outcome == fault.best:
        yield fault.outcome
    else:
        yield f"**{fault.outcome}** (can be: {fault.best})"
    if result.error:
        yield f"({quoted(result.error)})"
    if fault.again:
        yield f"then: {fault.again}"
    if result.guest_messages:
        yield f"the guest: {quoted(result.guest_messages[0].strip())}"
    if fault.left:
        yield f"left behind: {quoted(', '.join(fault.left))}"


def row(result: Result) -> list[str]:
    fault = result.behaviour
    assert fault
    return [f"   * - {fault.when}, {fault.side}", "",
            f"       ``{repeat_command(fault)}``", "",
            f"     - {'; '.join(became(result, fault))}",
            f"     - {quoted(said(fault))}"]


def titled(title: str, rows: Iterable[list[str]]) -> Iterator[str]:
    """A table of these rows."""
    yield from (title, "-" * len(title), "")
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {WIDTHS}", "")
    for number, name in enumerate(COLUMNS):
        yield f"   {' ' if number else '*'} - {name}"
    for lines_of_row in rows:
        yield from lines_of_row
    yield ""


def wiring(result: Result) -> str:
    return f"QEMU {result.qemu_source}, {result.iommu}, tracking: {result.dirty_tracking}"


def lines(results: list[Result]) -> Iterator[str]:
    """The tables of a run, one for each QEMU and wiring."""
    for title, rows in groupby((result for result in results if result.behaviour), wiring):
        yield from titled(title, map(row, rows))


# The rows of each table, by their faults
Tables = dict[str, dict[str, list[str]]]


def read_tables(text: str) -> Tables:
    """What document() wrote."""
    tables: Tables = {}
    for table in re.split(r"^(?=QEMU .*\n-+$)", text, flags=re.MULTILINE)[1:]:
        title, _, body = table.partition("\n")
        rows = tables.setdefault(title, {})
        # The first row has the names of the columns
        for found in re.split(r"^(?=   \* - )", body, flags=re.MULTILINE)[2:]:
            lines_of_row = found.split("\n")[:6]
            fault = lines_of_row[2].partition(" --fault ")[2].removesuffix("``")
            rows[shlex.split(fault)[0]] = lines_of_row
    return tables


def add_runs(tables: Tables, runs: Iterable[tuple[str, list[Result]]]) -> None:
    """The rows of several runs, with the kernel of each.  A later one takes the place of an
    earlier one."""
    for kernel, results in runs:
        for result in results:
            assert result.behaviour
            rows = tables.setdefault(f"{wiring(result)}, Linux {kernel}", {})
            rows[result.behaviour.fault] = row(result)


def document(tables: Tables, faults: list[str]) -> Iterator[str]:
    """All tables, and which faults are missing.  faults are all faults, in order."""
    for qemu, group in groupby(sorted(tables.items()), lambda item: item[0].split(",")[0]):
        done: set[str] = set()
        for title, rows in group:
            yield from titled(title, (rows[fault] for fault in faults if fault in rows))
            done |= rows.keys()
        if missing := [f"``{fault}``" for fault in faults if fault not in done]:
            yield from (f"Not run with {qemu}: {', '.join(missing)}.", "")
