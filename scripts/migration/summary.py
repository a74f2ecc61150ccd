# SPDX-License-Identifier: GPL-2.0-only
"""The table and summary.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .result import Result, Target

COLUMNS = ("scenario", "QEMU", "IOMMU, tracking", "mode", "guest I/O", "status",
           "pre-copy MiB", "stop-copy MiB", "reads",
           "downtime ms", "device ms", "total ms", "verified MiB", "verify errors",
           "memory errors", "net gap ms", "net MiB", "net errors", "guest errors")
TEXTS = 6  # columns on the left


def targets(results: list[Result]) -> list[Target]:
    """The downtime and the device's share of it, with PRE_COPY and without, on a medium
    fully written.  Where nobody tracks what the device writes into guest memory, QEMU sends
    all of that while the guest is stopped: of the whole downtime nothing is promised."""
    measured = {(result.mode, result.guest_io): result for result in results
                if result.scenario == "downtime" and result.good()}
    found = []
    for guest_io in {load for _, load in measured}:
        with_it = measured.get(("precopy", guest_io))
        without = measured.get(("stop-copy", guest_io))
        if guest_io == "idle" and with_it and without and without.device_downtime_ms:
            found.append(Target("device_downtime_ms, idle, of stop-copy's", 1 / 20,
                                with_it.device_downtime_ms / without.device_downtime_ms))
            if with_it.dirty_tracking != "none" and without.downtime_ms:
                found.append(Target("downtime_ms, idle, of stop-copy's", 1 / 20,
                                    with_it.downtime_ms / without.downtime_ms))
    return found


def write_json(path: Path, facts: dict[str, Any], results: list[Result], passed: bool) -> None:
    """facts is what holds for the whole run: kernel, qemu, accel and so on."""
    summary = {**facts, "passed": passed,
               "targets": [{**asdict(target), "met": target.met} for target in targets(results)],
               "migrations": [asdict(result) for result in results]}
    path.write_text(json.dumps(summary, indent=2) + "\n")


def row(result: Result) -> tuple[str, ...]:
    qemu = result.qemu_source
    if result.qemu_destination != qemu:
        qemu += f" > {result.qemu_destination}"
    network = ("", "", "")
    if result.nics:
        network = (f"{result.net_gap_ms:.0f}", f"{result.net_bytes_verified / 2**20:.1f}",
                   str(result.net_errors))
    return (result.scenario, qemu, f"{result.iommu}, {result.dirty_tracking}", result.mode,
            result.guest_io, result.outcome,
            f"{result.precopy_bytes / 2**20:.1f}", f"{result.stopcopy_bytes / 2**20:.1f}",
            str(result.iterations), str(result.downtime_ms), f"{result.device_downtime_ms:.1f}",
            str(result.total_ms), f"{result.io_bytes_verified / 2**20:.1f}",
            str(result.io_verify_errors), str(result.memory_verify_errors), *network,
            str(result.guest_errors))


def table(results: list[Result]) -> str:
    rows = [COLUMNS, *(row(result) for result in results)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(COLUMNS))]
    lines = []
    for cells in rows:
        padded = [cell.ljust(width) if column < TEXTS else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(cells, widths))]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    for result in results:
        for text in [words for words in (result.error, result.reason) if words] + [
                *result.net_messages[:5], *result.guest_messages[:5]]:
            lines.append(f"{result.scenario}: {text}")
    for target in targets(results):
        lines.append(f"{target.name}: {target.measured:.3f}, target {target.limit:.3f}: "
                     f"{'met' if target.met else 'NOT met'}")
    return "\n".join(lines)
