#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The part of scripts/mutate that runs in the test VM.

Usage: scripts/mutation/in_vm.py PLAN

PLAN is a JSON file: a list of entries with "number", "modules" (a directory), "programs" (pairs
of a path and a limit in seconds).  For each entry it loads these modules, runs the programs
until one fails, and writes DIR/NUMBER.result beside PLAN.  If modules can't be loaded or
unloaded, or a program can't be killed, the VM is of no more use: the program ends, and what is
left is for another VM.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMPLAINTS = ("BUG: ", "WARNING: ", "Oops", "Call Trace:", "general protection fault")
MARK = "mutate: entry"
UNUSABLE = 3
KILL_SECONDS = 20


class Unusable(Exception):
    """The VM can't go on."""


def modprobe(*arguments: str) -> None:
    try:
        subprocess.run(["modprobe", *arguments], check=True, capture_output=True, text=True,
                       timeout=60)
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


def complaint() -> str:
    """The first one of the kernel since the mark."""
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    for line in messages.rpartition(MARK)[2].splitlines():
        if any(word in line for word in COMPLAINTS):
            return line.strip()
    return ""


def failure(output: str) -> str:
    for line in output.splitlines():
        if line.startswith("not ok"):
            return line
    return (output.strip().splitlines() or ["no output"])[-1]


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


def run(program: str, limit: int) -> str:
    """Returns what failed, or nothing."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        # Not with a pipe: what the program leaves behind would keep it open
        with subprocess.Popen([program], stdout=output, stderr=subprocess.STDOUT,
                              start_new_session=True) as process:
            try:
                status = process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                kill_session(process.pid)
                return f"time is up after {limit} s"
            kill_session(process.pid)
        output.seek(0)
        if status not in (0, 4):
            return failure(output.read())
    return complaint()


def judge(entry: dict[str, Any], result: dict[str, Any]) -> None:
    Path("/dev/kmsg").write_text(f"{MARK} {entry['number']}\n", encoding="utf-8")
    modprobe("-r", "vfmig_sim")
    use_modules(Path(entry["modules"]))
    modprobe("vfmig_sim")
    for program, limit in entry["programs"]:
        name = Path(program).stem
        result["by"] = name
        began = time.monotonic()
        # A test that was cut short may have left no module
        modprobe("vfmig_sim")
        how = run(program, limit)
        result["programs"].append(name)
        result["seconds"][name] = round(time.monotonic() - began, 1)
        if how:
            result["failed"][name] = how
            if not entry.get("all"):
                break
    result["by"] = "unloading"
    modprobe("-r", "vfmig_sim")
    result["by"] = ""


def main() -> None:
    plan = Path(sys.argv[1])
    for entry in json.loads(plan.read_text()):
        file = plan.parent / f"{entry['number']}.result"
        if file.exists():
            continue
        (plan.parent / "now").write_text(str(entry["number"]))
        result: dict[str, Any] = {"number": entry["number"], "programs": [], "seconds": {},
                                  "failed": {}, "by": ""}
        broken = ""
        try:
            judge(entry, result)
        except Unusable as error:
            broken = str(error)
            result["failed"].setdefault(result["by"] or "loading", broken)
        file.write_text(json.dumps(result))
        print(entry["number"], json.dumps(result["failed"]) if result["failed"] else "survived",
              flush=True)
        if broken:
            sys.exit(UNUSABLE)


main()
