#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Loads and unloads the modules, and creates and removes VFs, in a loop, and checks
that no countable objects of the kernel and no memory are left behind.

Prints KTAP.  Runs as root where the modules are installed: in the test VM,
called by scripts/check, or on any other machine.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

from migration.leftover import KMEMLEAK, memory_kib, objects

SIM = "vfmig_sim"
VENDOR = "0x564d"

# What the kernel's own caches may grow by over a whole test, per repetition
SLACK_KIB = 128


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def load() -> None:
    run("modprobe", SIM)


def unload() -> None:
    run("modprobe", "-r", SIM)


def built_in() -> bool:
    """Part of the kernel?  What was loaded has a state."""
    module = Path("/sys/module") / SIM
    return module.exists() and not (module / "initstate").exists()


def pfs() -> list[Path]:
    return sorted(path for path in Path("/sys/bus/pci/devices").iterdir()
                  if (path / "vendor").read_text().strip() == VENDOR
                  and (path / "sriov_numvfs").exists())


def set_vfs(count: int) -> None:
    for pf in pfs():
        (pf / "sriov_numvfs").write_text(str(count))


def repeat(times: int, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[str]:
    """Says what is left behind by repeating begin and end; once is not counted."""
    begin()
    end()
    time.sleep(0.5)
    objects_before, memory_before = objects(), memory_kib()
    for _ in range(times):
        begin()
        end()
    time.sleep(0.5)
    for name, count in objects().items():
        if count != objects_before[name]:
            yield f"{count} {name} instead of {objects_before[name]}"
    grown = memory_kib() - memory_before
    print(f"# the kernel's memory grew by {grown} KiB in {times} repetitions")
    # A kernel that watches its memory keeps what was freed, and books about it
    if not KMEMLEAK.exists() and grown > SLACK_KIB * times:
        yield f"{grown} KiB of memory more after {times} repetitions"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--times", type=int, default=10, metavar="N",
                        help="repetitions of each (default: 10)")
    parser.add_argument("--vfs", type=int, default=8, metavar="N",
                        help="VFs (default: 8)")
    arguments = parser.parse_args()

    tests = [
        ("load_unload_leaks_nothing", arguments.times, load, unload),
        ("vfs_on_off_leaks_nothing", arguments.times,
         lambda: set_vfs(arguments.vfs), lambda: set_vfs(0)),
    ]
    failed = False
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    subprocess.run(["modprobe", "-r", SIM], check=False, stderr=subprocess.DEVNULL)
    for number, (name, times, begin, end) in enumerate(tests, 1):
        if begin is load and built_in():
            print(f"ok {number} {name} # SKIP {SIM} is built into the kernel", flush=True)
            continue
        if begin is not load:
            load()
        found = list(repeat(times, begin, end))
        for text in found:
            print(f"# left behind: {text}")
        print(f"{'not ' if found else ''}ok {number} {name}", flush=True)
        failed |= bool(found)
    if not built_in():
        unload()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
