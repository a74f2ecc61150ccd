# SPDX-License-Identifier: GPL-2.0-only
"""What work that is over left behind in the kernel: objects that can be counted, and memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

PROC = Path("/proc")
# A kernel that watches its memory keeps what was freed, and books about it
KMEMLEAK = Path("/sys/kernel/debug/kmemleak")


def _entries(directory: str) -> int:
    path = Path(directory)
    return sum(1 for _ in path.iterdir()) if path.exists() else 0


def _lines(file: str) -> list[str]:
    return Path(file).read_text(errors="replace").splitlines()


def objects() -> dict[str, int]:
    """What must be there as often afterwards as it was before."""
    return {
        "PCI devices": _entries("/sys/bus/pci/devices"),
        "PCI buses": _entries("/sys/class/pci_bus"),
        "IOMMU groups": _entries("/sys/kernel/iommu_groups"),
        "IOMMUs": _entries("/sys/class/iommu"),
        "interrupts": _entries("/sys/kernel/irq"),
        "lines of /proc/iomem": len(_lines("/proc/iomem")),
        "VFIO devices": _entries("/dev/vfio"),
        "modules of vfmig": sum(line.startswith("vfmig") for line in _lines("/proc/modules")),
    }


def memory() -> dict[str, int]:
    """Memory that only the kernel frees, in KiB."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    wanted = ("SUnreclaim", "VmallocUsed", "Percpu", "KernelStack")
    fields = (line.split() for line in _lines("/proc/meminfo"))
    return {name.rstrip(":"): int(kib) for name, kib, *_ in fields if name.startswith(wanted)}


def memory_kib() -> int:
    return sum(memory().values())


def threads() -> int:
    """Of the kernel and of all processes, but for workers, which come and go by themselves."""
    found = 0
    for process in PROC.glob("[0-9]*"):
        try:
            if not (process / "comm").read_text().startswith("kworker/"):
                found += _entries(str(process / "task"))
        except OSError:
            continue
    return found


def files() -> int:
    """Open files of the whole machine."""
    return int((PROC / "sys/fs/file-nr").read_text().split()[0])


def slabs() -> dict[str, tuple[int, int]]:
    """The objects in use of each slab cache and their size in bytes, once empty slabs are
    given back."""
    for shrink in Path("/sys/kernel/slab").glob("*/shrink"):
        shrink.write_text("1")
    return {name: (int(active), int(size)) for name, active, _, size, *_ in
            (line.split() for line in _lines("/proc/slabinfo")[2:])}


@dataclass
class Growth:
    """What may be more afterwards, by chance or in a cache that nobody shrinks."""
    memory_kib: int
    threads: int
    files: int
    slab_kib: int


class Snapshot:
    """What there is of all that."""

    def __init__(self) -> None:
        self._objects = objects()
        self._memory = memory()
        self._threads = threads()
        self._files = files()
        self._slabs = slabs()

    def _memory_kib(self) -> int:
        return sum(self._memory.values())

    def figures(self) -> str:
        return (f"{self._memory_kib()} KiB of the kernel's own memory, "
                f"{self._threads} threads, {self._files} open files, "
                f"{sum(self._objects.values())} objects")

    def grown_since(self, before: "Snapshot") -> dict[str, int]:
        """KiB that each slab cache has more, the one with the most first."""
        grown = {cache: (active - before._slabs.get(cache, (0, size))[0]) * size >> 10
                 for cache, (active, size) in self._slabs.items()}
        return {cache: kib for cache, kib in sorted(grown.items(), key=lambda item: -item[1])
                if kib > 0}

    def growth(self, before: "Snapshot", caches: int = 5) -> str:
        """Where the memory went that is not free again."""
        parts = [f"{name} {kib - before._memory[name]:+}" for name, kib in self._memory.items()]
        slabs = [f"{cache} {kib:+}" for cache, kib in self.grown_since(before).items()]
        return f"KiB: {', '.join(parts)}; of slab caches {', '.join(slabs[:caches]) or 'none'}"

    def left_since(self, before: "Snapshot", allowed: Growth) -> Iterator[str]:
        """Says what is there that was not before."""
        for name, count in self._objects.items():
            if count != before._objects[name]:
                yield f"{count} {name} instead of {before._objects[name]}"
        for what, now, then, more in (
                ("threads", self._threads, before._threads, allowed.threads),
                ("open files", self._files, before._files, allowed.files)):
            if now > then + more:
                yield f"{now} {what} instead of {then}"
        if KMEMLEAK.exists():
            return
        grown = self._memory_kib() - before._memory_kib()
        if grown > allowed.memory_kib:
            yield f"{grown} KiB of the kernel's memory"
        for cache, kib in self.grown_since(before).items():
            if kib > allowed.slab_kib:
                yield f"{kib} KiB in the slab cache {cache}"
