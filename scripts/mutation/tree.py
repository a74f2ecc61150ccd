# SPDX-License-Identifier: GPL-2.0-only
"""A copy of the checkout, in which each fault is built by itself.

The checkout is never changed.  Without debug information an object is the same if the code is.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from mutation import Failure
from mutation.fault import Fault, apply

TESTS = Path("tools/testing/selftests/vfmig")
BUILD_FILES = ("Kbuild", "Makefile")
# Programs that have a file of the drivers compiled in, and need no module
COMPILED_IN = {
    "drivers/vfmig/model/trial.c": "trial_test",
    "drivers/vfmig/nvme/pace.c": "pace_test",
    "drivers/vfmig/virtio/net_lull.c": "lull_test",
}


class Tree:
    def __init__(self, top: Path, directory: Path, kdir: Path) -> None:
        self.top, self.directory, self.kdir = top, directory, kdir
        self.sums: dict[str, str] = {}      # of the objects without a fault, by source

    def refresh(self) -> None:
        """Brings the copy up to date, and builds it without a fault."""
        for part in ("Kbuild", "drivers", "include", TESTS):
            (self.directory / part).parent.mkdir(parents=True, exist_ok=True)
            self.copy(self.top / part, self.directory / part)
        if not self.build():
            raise Failure(f"the modules don't build: see {self.directory}.log")
        for file in self.directory.glob("drivers/**/*.c"):
            if file.with_suffix(".o").exists():
                name = str(file.relative_to(self.directory))
                self.sums[name] = self.object_sum(name)
        self.modules_to(self.directory.parent / "mutants" / "0")

    def copy(self, source: Path, target: Path) -> None:
        """Only what differs, or everything would be built again."""
        if source.is_dir():
            target.mkdir(exist_ok=True)
            for entry in source.iterdir():
                self.copy(entry, target / entry.name)
        elif source.suffix in (".c", ".h", ".awk") or source.name.startswith(BUILD_FILES):
            if not source.name.endswith(".mod.c") and (
                    not target.exists() or target.read_bytes() != source.read_bytes()):
                shutil.copyfile(source, target)

    def build(self) -> bool:
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
        with open(f"{self.directory}.log", "w", encoding="utf-8") as log:
            return subprocess.run(
                ["make", "-C", self.kdir, f"M={self.directory}", f"-j{os.cpu_count()}",
                 "CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"],
                env=environment, stdout=log, stderr=log, check=False).returncode == 0

    def build_program(self, name: str, directory: Path) -> bool:
        """A test that has the fault compiled in."""
        objects = self.directory / "build"
        objects.mkdir(exist_ok=True)
        with open(f"{self.directory}.log", "a", encoding="utf-8") as log:
            if subprocess.run(["make", "-C", self.directory / TESTS, f"OUTPUT={objects}",
                               f"KSELFTEST={self.top}/build/linux/tools/testing/selftests",
                               f"-j{os.cpu_count()}", objects / name],
                              stdout=log, stderr=log, check=False).returncode != 0:
                return False
        shutil.copy(objects / name, directory / name)
        return True

    def modules_to(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for module in self.directory.glob("drivers/**/*.ko"):
            shutil.copyfile(module, directory / module.name)

    def object_sum(self, file: str) -> str:
        return hashlib.sha256((self.directory / file).with_suffix(".o").read_bytes()).hexdigest()

    def build_with(self, fault: Fault, directory: Path) -> str:
        """Puts the modules into @directory.  Returns why there are none, or nothing."""
        if not self.sums:
            self.refresh()
        if fault.file not in self.sums:
            return "not built for this kernel"
        file = self.directory / fault.file
        source = file.read_text()
        try:
            file.write_text(apply(fault, source))
            if not self.build():
                return "does not compile"
            if self.object_sum(fault.file) == self.sums[fault.file]:
                return "same object code"
            self.modules_to(directory)
            program = COMPILED_IN.get(fault.file)
            if program and not self.build_program(program, directory):
                return f"{program} does not compile"
            return ""
        finally:
            file.write_text(source)
            # The next build makes it from the source without this fault
            file.with_suffix(".o").unlink(missing_ok=True)
