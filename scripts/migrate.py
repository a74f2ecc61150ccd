#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrates guests with simulated VFs between QEMU processes, under verified I/O.

Runs as root where the modules are installed and /dev/kvm works: in the test VM,
called by scripts/run, or on a machine of one's own.  Needs scripts/guest-image's
guest.  Exit status: 0 if every migration completed with no error, else 1.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from migration import Failure, host, qemu, summary
from migration.scenarios import MEDIA_MB, SCENARIOS, Lab, Result

TOP = Path(__file__).resolve().parent.parent
VFS = 4


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=2, metavar="N",
                        help="migrations in a row of the guest with one VF (default: 2)")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME",
                        help=f"only this one, may be repeated: {', '.join(SCENARIOS)}")
    parser.add_argument("--output", type=Path, default=TOP / "build/run", metavar="DIR",
                        help="where summary.json and the logs go (default: build/run)")
    parser.add_argument("--image", type=Path, default=TOP / "build/guest", metavar="DIR",
                        help="the guest (default: build/guest)")
    arguments = parser.parse_args()
    if arguments.repeat < 1:
        parser.error("--repeat must be at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    begin = time.monotonic()
    results: list[Result] = []
    facts = {
        "kernel": os.uname().release,
        "qemu": qemu.version(),
        "accel": os.environ.get("VFMIG_ACCEL", "host"),
        "media_mb": MEDIA_MB,
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    summary_file = arguments.output / "summary.json"

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - begin:6.1f} s] {text}", flush=True)

    wanted = arguments.scenario or list(SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="vfmig-", dir="/dev/shm") as directory:
        run = Path(directory)
        progress(f"loading the modules, making {VFS} VFs")
        lab = Lab(arguments.image, arguments.output, run, host.make_vfs(VFS, MEDIA_MB), progress)
        for name in wanted:
            for result in SCENARIOS[name](lab, arguments.repeat):
                results.append(result)
                progress(f"{name}: {result.status}"
                         + (f", {result.error}" if result.error else "")
                         + f", {result.io_verify_errors} verification errors, "
                         f"{result.guest_errors} guest errors")
                summary.write_json(summary_file, facts, results, False)
        progress("removing the VFs and the modules")
        host.remove_vfs()

    passed = all(result.good() for result in results)
    summary.write_json(summary_file, facts, results, passed)
    print(f"\n{summary.table(results)}\n\n{summary_file}: "
          f"{'all migrations completed with 0 errors' if passed else 'FAILED'}", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure_of_the_run:
        print(f"migrate.py: {failure_of_the_run}", file=sys.stderr)
        sys.exit(1)
