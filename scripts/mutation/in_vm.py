#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The part of scripts/mutate that runs in the test VM.

Usage: scripts/mutation/in_vm.py PLAN

PLAN is a JSON file with "seconds", after which no program begins, and "entries".  An entry has
"number", "modules" (a directory), "programs" (pairs of a path and a limit in seconds).  For each
entry it loads these modules, runs the programs until one fails, and writes DIR/NUMBER.result
beside PLAN.  DIR/now says what is under way, and for how long at most.  DIR/beat is written all
the time, as long as the VM is alive.  If modules can't be
loaded or unloaded, a program can't be killed, or the kernel has complained, the VM is of no more
use: the program ends, and what is left is for another VM.

A program that is ended early leaves things behind.  If one of our modules stays loaded, the VM is
of no more use.  If one program after the other fails from its first test on, that test must pass
without a fault, or the fault is judged again in another VM.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

COMPLAINTS = ("BUG: ", "WARNING: ", "Oops", "Call Trace:", "general protection fault")
# What the kernel says of memory that a test has refused for a thread's stack is no complaint
REFUSED = re.compile(r" fault_[a-z_]*: vmalloc error: ")
REFUSED_LINES = 120
MARK = "mutate: now"
UNCHANGED = "0"         # the directory of the modules without a fault
UNUSABLE = 3
KILL_SECONDS = 20
POLL_SECONDS = 0.5
BEAT_SECONDS = 3
MODPROBE_SECONDS = 60
SLOWNESS = int(os.environ.get("VFMIG_SLOWNESS", "1"))


class Unusable(Exception):
    """The VM can't go on."""


class Doubtful(Exception):
    """What failed may have failed because of what came before."""


def modprobe(*arguments: str) -> None:
    try:
        subprocess.run(["modprobe", *arguments], check=True, capture_output=True, text=True,
                       timeout=MODPROBE_SECONDS * SLOWNESS)
    except subprocess.CalledProcessError as error:
        raise Unusable(f"modprobe {' '.join(arguments)}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise Unusable(f"modprobe {' '.join(arguments)} does not end") from error


def use_modules(directory: Path) -> None:
    """The kernel's index of modules has a link for each of ours."""
    updates = Path("/lib/modules", os.uname().release, "updates")
    for module in directory.glob("*.ko"):
        link = updates / module.name
        link.unlink(missing_ok=True)
        link.symlink_to(module)


def modules_left() -> list[str]:
    names = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    return [name for name in names if name.startswith("vfmig")]


def unload() -> None:
    modprobe("-r", "vfmig_sim")
    if left := modules_left():
        raise Unusable(f"left loaded: {' '.join(left)}")


def complaint() -> str:
    """The first one of the kernel since the mark."""
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    skip = 0
    for line in messages.rpartition(MARK)[2].splitlines():
        if REFUSED.search(line):
            skip = REFUSED_LINES
        elif skip:
            skip -= 1
        elif any(word in line for word in COMPLAINTS):
            return line.strip()
    return ""


def failed_test(output: str) -> str:
    return next((line for line in output.splitlines() if line.startswith("not ok")), "")


def session(leader: int) -> list[int]:
    """The processes of a session: the harness puts each test into a group of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue                    # it has just ended
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def kill_session(leader: int) -> None:
    for _ in range(KILL_SECONDS):
        left = session(leader)
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(1)
    raise Unusable("it can't be killed")


def wait(process: subprocess.Popen[bytes], output: Path, limit: int, first: bool) -> str:
    """Returns what failed, without the tests after that, or nothing.  @first: only one test"""
    end = time.monotonic() + limit
    status = None
    while status is None:
        try:
            status = process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        text = output.read_text(errors="replace")
        if failed := failed_test(text):
            return failed
        if first and "\nok 1 " in text:
            return ""
        if status is None and time.monotonic() > end:
            return f"time is up after {limit} s"
    return "" if status in (0, 4) else (text.strip().splitlines() or ["no output"])[-1]


def run(program: str, limit: int, first: bool = False) -> str:
    """Returns what failed, or nothing."""
    # Not a pipe: what the program leaves behind would keep it open
    output = Path("/run/mutate-output")
    with open(output, "wb") as file:
        with subprocess.Popen([program], stdout=file, stderr=subprocess.STDOUT,
                              start_new_session=True) as process:
            failed = wait(process, output, limit, first)
            kill_session(process.pid)
    return failed


class Judge:
    """One fault, as far as it gets."""

    def __init__(self, entry: dict[str, Any], directory: Path, end: float, clean: bool) -> None:
        self.entry, self.directory, self.end = entry, directory, end
        self.clean = clean      # what ran last in this VM did not fail
        self.result: dict[str, Any] = {"programs": [], "seconds": {}, "failed": {}, "over": False}
        self.what = ""          # is under way

    def save(self) -> None:
        file = self.directory / f"{self.entry['number']}.result"
        file.write_text(json.dumps(self.result))

    def begin(self, what: str, limit: int) -> None:
        self.what = what
        now = {"number": self.entry["number"], "what": what, "limit": limit}
        (self.directory / "now").write_text(json.dumps(now))
        Path("/dev/kmsg").write_text(f"{MARK} {now['number']} {what}\n", encoding="utf-8")

    def load(self, modules: Path) -> None:
        self.begin("loading", MODPROBE_SECONDS * SLOWNESS)
        unload()
        use_modules(modules)
        modprobe("vfmig_sim")

    def try_without(self, program: str, limit: int) -> None:
        """Does the first test pass without the fault?"""
        try:
            self.load(Path(self.entry["modules"]).parent / UNCHANGED)
            self.begin(f"{Path(program).stem} without the fault", limit + KILL_SECONDS)
            failed = run(program, limit, True)
        except Unusable as error:
            raise Doubtful from error
        if failed:
            raise Doubtful

    def run(self, program: str, limit: int) -> bool:
        """Is the kernel still of use?"""
        name = Path(program).stem
        self.begin(name, limit + KILL_SECONDS)
        # A test that was cut short may have left no module
        modprobe("vfmig_sim")
        began = time.monotonic()
        failed = run(program, limit)
        said = complaint()
        if failed.startswith("not ok 1 ") and not said and not self.clean:
            self.try_without(program, limit)
        self.clean = not failed
        self.result["seconds"][name] = round(time.monotonic() - began, 1)
        self.result["programs"].append(name)
        if failed or said:
            self.result["failed"][name] = failed or said
        self.save()
        return not said

    def run_all(self) -> bool:
        """Is the VM still of use?"""
        for program, limit in self.entry["programs"]:
            if time.monotonic() > self.end:
                return False
            usable = self.run(program, limit * SLOWNESS)
            if self.result["failed"]:
                self.result["over"] = True
                return usable
        self.result["over"] = True
        return True

    def fail(self, why: str) -> None:
        """What is under way is how the fault was found."""
        self.result["failed"].setdefault(self.what, why)
        self.result["programs"].append(self.what)
        self.result["over"] = True

    def hear(self) -> bool:
        """Has the kernel no complaint about what is under way?"""
        if said := complaint():
            self.fail(said)
        return not said

    def all(self) -> bool:
        try:
            self.load(Path(self.entry["modules"]))
            usable = self.hear() and self.run_all()
            if self.result["over"] and usable:
                self.begin("unloading", MODPROBE_SECONDS * SLOWNESS)
                unload()
                usable = self.hear()
        except Doubtful:
            usable = False
        except Unusable as error:
            usable = False
            self.fail(str(error))
        self.save()
        return usable


def beat(file: Path) -> None:
    while True:
        file.write_text(str(time.monotonic()))
        time.sleep(BEAT_SECONDS)


def main() -> int:
    file = Path(sys.argv[1])
    plan = json.loads(file.read_text())
    end = time.monotonic() + plan["seconds"]
    threading.Thread(target=beat, args=[file.parent / "beat"], daemon=True).start()
    usable = clean = True
    for entry in plan["entries"]:
        if not usable or time.monotonic() > end:
            break
        judge = Judge(entry, file.parent, end, clean)
        usable = judge.all()
        clean = judge.clean
        if judge.result["over"]:
            failed = judge.result["failed"]
            print(entry["number"], json.dumps(failed) if failed else "survived", flush=True)
    (file.parent / "now").unlink()
    return 0 if usable else UNUSABLE


sys.exit(main())
