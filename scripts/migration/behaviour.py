# SPDX-License-Identifier: GPL-2.0-only
"""What VMMs made of faults, as tables in reStructuredText."""

from itertools import groupby
from typing import Iterator

from .result import Behaviour, Result

# So much of what QEMU said is enough to find the rest in its log
WORDS = 160


def quoted(text: str) -> str:
    return "".join(f"\\{char}" if char in "*`|_\\" else char for char in text)


def said(behaviour: Behaviour) -> str:
    """QEMU's own words: the reason of the migration, else the last line of its log."""
    text = behaviour.reason or next(reversed(behaviour.words), "")
    return text if len(text) <= WORDS else text[:WORDS] + "..."


def became(behaviour: Behaviour, messages: list[str]) -> str:
    """The outcome, the better one that there is, and the guest's first word on it."""
    text = behaviour.outcome
    if text != behaviour.best:
        text = f"**{text}** (can be: {behaviour.best})"
    return f"{text}; the guest: {quoted(messages[0])}" if messages else text


def lines(results: list[Result]) -> Iterator[str]:
    """A table for each QEMU and wiring."""
    found = [result for result in results if result.behaviour]
    for (qemu, iommu, tracking), rows in groupby(
            found, lambda result: (result.qemu_source, result.iommu, result.dirty_tracking)):
        title = f"QEMU {qemu}, {iommu}, tracking: {tracking}"
        yield from (title, "-" * len(title), "", ".. list-table::", "   :header-rows: 1",
                    "   :widths: 10 10 30 20 30", "")
        cells = [("when", "side", "fault", "outcome", "QEMU says")]
        for row in rows:
            assert row.behaviour
            fault = row.behaviour
            cells.append((fault.when, fault.side, f"``{fault.fault}``",
                          became(fault, row.guest_messages), quoted(said(fault))))
        for texts in cells:
            for number, text in enumerate(texts):
                yield f"   {' ' if number else '*'} - {text}".rstrip()
        yield ""
