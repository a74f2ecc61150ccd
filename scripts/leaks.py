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

SIM = "vfmig_sim"
VENDOR = "0x564d"

# What the kernel's own caches may grow by over a whole test, per repetition
SLACK_KIB = 128
# Who has it reads there what leaked, as scripts/vm does
KMEMLEAK = Path("/sys/kernel/debug/kmemleak")


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


def entries(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def lines(file: str) -> int:
    return len(Path(file).read_text(errors="replace").splitlines())


def objects() -> dict[str, int]:
    """What must be there as often afterwards as it was before."""
    return {
        "PCI devices": entries("/sys/bus/pci/devices"),
        "PCI buses": entries("/sys/class/pci_bus"),
        "IOMMU groups": entries("/sys/kernel/iommu_groups"),
        "IOMMUs": entries("/sys/class/iommu"),
        "interrupts": entries("/sys/kernel/irq"),
        "lines of /proc/iomem": lines("/proc/iomem"),
        "VFIO devices": entries("/dev/vfio") if Path("/dev/vfio").exists() else 0,
        "modules of vfmig": sum(line.startswith("vfmig")
                                for line in Path("/proc/modules").read_text().splitlines()),
    }


def memory_kib() -> int:
    """Memory that only the kernel frees: slab, vmalloc, per-CPU and kernel stacks."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    wanted = ("SUnreclaim:", "VmallocUsed:", "Percpu:", "KernelStack:")
    return sum(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
               if line.startswith(wanted))


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
