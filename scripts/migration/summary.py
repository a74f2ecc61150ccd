# SPDX-License-Identifier: GPL-2.0-only
"""The table and summary.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .scenarios import Result

COLUMNS = ("scenario", "status", "device MiB", "downtime ms", "total ms", "verified MiB",
           "verify errors", "guest errors")


def write_json(path: Path, facts: dict[str, Any], results: list[Result], passed: bool) -> None:
    """facts is what holds for the whole run: kernel, qemu, accel and so on."""
    summary = {**facts, "passed": passed, "migrations": [asdict(result) for result in results]}
    path.write_text(json.dumps(summary, indent=2) + "\n")


def table(results: list[Result]) -> str:
    rows = [COLUMNS]
    for result in results:
        rows.append((
            result.scenario, result.status, f"{result.device_bytes / 2**20:.1f}",
            str(result.downtime_ms), str(result.total_ms),
            f"{result.io_bytes_verified / 2**20:.1f}", str(result.io_verify_errors),
            str(result.guest_errors)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    for result in results:
        for text in ([result.error] if result.error else []) + result.guest_messages[:5]:
            lines.append(f"{result.scenario}: {text}")
    return "\n".join(lines)
