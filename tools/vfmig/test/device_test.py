#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests the commands of vfmigctl that are about devices, on files that look like the kernel's.

Usage: device_test.py VFMIGCTL

What the real files do is tested in the test VM, by ctl_test.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ktap import expect, run

PF, OTHER = "ffff:00:00.0", "ffff:00:00.1"
VFS = [f"ffff:00:00.{n}" for n in (2, 3)]
PCI = "sys/bus/pci/devices"
DEBUG = "sys/kernel/debug"

vfmigctl = ""
root = Path()


def write(path: str, text: str, mode: int = 0o644) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def link(path: str, target: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


def make_pf(pf: str, model: str, numvfs: int) -> None:
    link(f"sys/bus/pci/drivers/vfmig_sim/{pf}", f"../../devices/{pf}")
    write(f"{PCI}/{pf}/sriov_numvfs", f"{numvfs}\n")
    write(f"{PCI}/{pf}/sriov_totalvfs", "64\n")
    write(f"{PCI}/{pf}/vfmig/model", f"{model}\n")
    write(f"{PCI}/{pf}/vfmig/media_mb", "64\n")
    link(f"{PCI}/{pf}/driver", "../../drivers/vfmig_sim")


def make_vf(vf: str, number: int, migration: str) -> None:
    link(f"{PCI}/{PF}/virtfn{number}", f"../{vf}")
    link(f"{PCI}/{vf}/physfn", f"../{PF}")
    link(f"{PCI}/{vf}/driver", "../../drivers/vfmig_vfio_pci")
    link(f"{PCI}/{vf}/iommu_group", f"../../../../kernel/iommu_groups/{7 + number}")
    (root / PCI / vf / "vfio-dev" / f"vfio{number}").mkdir(parents=True)
    link(f"sys/bus/pci/drivers/vfmig_vfio_pci/{vf}", f"../../devices/{vf}")
    write(f"{DEBUG}/vfmig/{vf}/media_mb", "64\n", 0o600)
    write(f"{DEBUG}/vfmig/{vf}/media_allocated", "4096\n", 0o400)
    write(f"{DEBUG}/vfmig/{vf}/io_latency_us", "0\n", 0o600)
    write(f"{DEBUG}/vfmig/{vf}/erase", "", 0o200)
    write(f"{DEBUG}/vfmig_vfio_pci/{vf}/migration", migration, 0o400)
    write(f"{DEBUG}/vfmig_vfio_pci/{vf}/faults", "", 0o600)
    write(f"{DEBUG}/vfmig_vfio_pci/{vf}/fault_error", "", 0o400)
    write(f"{DEBUG}/vfmig_vfio_pci/{vf}/profile", "none [mlx5] no-p2p\n", 0o600)


def make_process(pid: int, name: str, *files: str) -> None:
    write(f"proc/{pid}/comm", f"{name}\n")
    for fd, target in enumerate(files, 3):
        link(f"proc/{pid}/fd/{fd}", target)


def make_root() -> None:
    """One PF with two VFs, of which one migrates, and one PF without."""
    make_pf(PF, "nvme", 2)
    make_pf(OTHER, "virtio-net", 0)
    make_vf(VFS[0], 0, "state STOP_COPY\nsession save\ndone 1536\nleft 2097152\n")
    make_vf(VFS[1], 1, "state RUNNING\nsession none\n")
    make_process(17, "qemu", "/dev/vfio/7", "/dev/vfio/vfio", "/dev/vfio/devices/vfio0")
    make_process(18, "other", "/dev/vfio/devices/vfio0", "anon_inode:[vfio-device]")
    write("proc/18/fdinfo/4", f"pos:\t0\nvfio-device-syspath: /sys/devices/pci/{VFS[0]}\n")


def snapshot() -> dict[str, str]:
    return {str(path): path.read_text() for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()}


def call(*arguments: str) -> subprocess.CompletedProcess:
    result = subprocess.run([vfmigctl, f"--root={root}", *arguments], capture_output=True,
                            text=True, check=False)
    expect(result.returncode in (0, 1, 2) and "Sanitizer" not in result.stderr and
           "runtime error" not in result.stderr, f"{arguments}: {result}")
    return result


def refused(status: int, text: str, *arguments: str) -> None:
    """Nothing is changed, and the message is this."""
    before = snapshot()
    result = call(*arguments)
    expect(result.returncode == status and not result.stdout, f"{arguments}: {result}")
    expect(result.stderr.splitlines()[0] == f"vfmigctl{text}",
           f"{arguments}: {result.stderr!r}, not {text!r}")
    expect(snapshot() == before, f"{arguments} has changed something")


# --- The tests ---

def list_is_json() -> None:
    found = json.loads(call("list", "--json").stdout)
    expect([pf["function"] for pf in found] == [PF, OTHER], found)
    expect(found[0]["vfs"] == 2 and found[0]["max_vfs"] == 64 and
           found[0]["settings"] == {"media_mb": 64, "model": "nvme"}, found)
    expect(found[1]["model"] == "virtio-net" and found[1]["functions"] == [], found)
    expect(found[0]["functions"][0] == {
        "function": VFS[0], "type": "VF", "pf": PF, "model": "nvme", "driver": "vfmig_vfio_pci",
        "iommu_group": 7, "state": "STOP_COPY", "session": "save", "done": 1536, "left": 2097152,
        "faults": 0, "media_mb": 64, "media_allocated": 4096,
        "open_by": [{"pid": 18, "command": "other"}, {"pid": 17, "command": "qemu"}]}, found)
    expect(found[0]["functions"][1]["open_by"] == [] and
           found[0]["functions"][1]["done"] is None, found)


def list_is_a_table() -> None:
    lines = [" ".join(line.split()) for line in call("list").stdout.splitlines()]
    expect(lines == [
        "FUNCTION MODEL STATE SESSION DONE LEFT DISK USED FAULTS OPEN BY",
        f"{PF} nvme 2 of 64 VFs",
        f"{VFS[0]} nvme STOP_COPY save 1.5 KiB 2 MiB 64 MiB 4 KiB 0 other 18, qemu 17",
        f"{VFS[1]} nvme RUNNING none - - 64 MiB 4 KiB 0 -",
        f"{OTHER} virtio-net 0 of 64 VFs"], lines)


def show_has_all_values() -> None:
    found = json.loads(call("show", "--json", VFS[0]).stdout)
    expect(found["values"] == {"io_latency_us": 0, "media_allocated": 4096, "media_mb": 64}, found)
    text = call("show", "00:00.2").stdout
    expect("media_allocated" in text and "STOP_COPY" in text, text)
    found = json.loads(call("--json", "show", PF).stdout)
    expect(found["type"] == "PF" and found["settings"]["media_mb"] == 64, found)


def watch_is_json_lines() -> None:
    lines = call("watch", "--json", "-n2", "-d0.1").stdout.splitlines()
    expect(len(lines) == 2 and all(len(json.loads(line)) == 2 for line in lines), lines)
    refused(1, ": watch needs a terminal (or --json)", "watch")
    refused(2, " watch: delay '0' is no number from 0.1 to 86400", "watch", "-d", "0")
    refused(2, " watch: delay 'nan' is no number from 0.1 to 86400", "watch", "-d", "nan")
    refused(2, ": count '-1' is no number from 1 to 4294967295", "watch", "-n", "-1")


def settings_are_changed() -> None:
    for arguments, path, value in [
            (["set", PF, "media_mb", "128"], f"{PCI}/{PF}/vfmig/media_mb", "128"),
            (["set", VFS[0], "io_latency_us", "5"], f"{DEBUG}/vfmig/{VFS[0]}/io_latency_us", "5"),
            (["erase", VFS[0]], f"{DEBUG}/vfmig/{VFS[0]}/erase", "1"),
            (["resize", VFS[0], "32"], f"{DEBUG}/vfmig/{VFS[0]}/media_mb", "32")]:
        before = snapshot()
        result = call(*arguments)
        expect(result.returncode == 0 and not result.stdout and not result.stderr, result)
        changed = {path for path, text in snapshot().items() if before[path] != text}
        expect(changed == {str(root / path)}, changed)
        expect((root / path).read_text().startswith(value), path)
    found = json.loads(call("set", "--json", PF, "media_mb", "64").stdout)
    expect(found == {"function": PF, "name": "media_mb", "value": "64"}, found)


def faults_are_lines() -> None:
    """The kernel knows the words; here a file takes them all."""
    faults = root / DEBUG / "vfmig_vfio_pci" / VFS[0] / "faults"
    for arguments, line in [(["add", VFS[0], "arc", "STOP:STOP_COPY", "errno=EIO", "once"],
                             "arc STOP:STOP_COPY errno=EIO once"),
                            (["add", VFS[0], "read at=5 stall=1"], "read at=5 stall=1"),
                            (["clear", VFS[0]], "clear"), (["clear", VFS[0], "7"], "clear 7")]:
        faults.write_text("")
        result = call("fault", *arguments)
        expect(result.returncode == 0 and not result.stdout and not result.stderr, result)
        expect(faults.read_text() == line, f"{arguments}: {faults.read_text()!r}")
    lines = ["1 0 0 arc STOP->STOP_COPY errno=EIO", "12 3 40 read rate=10M"]
    faults.write_text("\n".join(lines) + "\n")
    expect(call("fault", "list", VFS[0]).stdout.splitlines() == lines, "list")
    found = json.loads(call("fault", "list", "--json", VFS[0]).stdout)
    expect(found[1] == {"number": 12, "happened": 3, "could_happen": 40,
                        "fault": "read rate=10M"}, found)
    expect(json.loads(call("list", "--json").stdout)[0]["functions"][0]["faults"] == 2, "faults")
    refused(1, f": {PF} is a PF, not a VF", "fault", "add", PF, "read", "end")
    refused(1, ": a fault is one line", "fault", "add", VFS[0], "read end\nclear")
    refused(2, ": fault 'x' is no number from 1 to 4294967295", "fault", "clear", VFS[0], "x")
    refused(2, " fault add: an argument is missing", "fault", "add", VFS[0])
    refused(2, " fault: unknown command 'set' (see vfmigctl fault --help)", "fault", "set")
    faults.write_text("")


def profiles_are_names() -> None:
    profile = root / DEBUG / "vfmig_vfio_pci" / VFS[0] / "profile"
    expect(call("profile", VFS[0]).stdout == "  none\n* mlx5\n  no-p2p\n", "table")
    found = json.loads(call("profile", "--json", VFS[0]).stdout)
    expect(found == {"profile": "mlx5", "profiles": ["none", "mlx5", "no-p2p"]}, found)
    expect(call("profile", VFS[0], "none").returncode == 0, "set")
    expect(profile.read_text().startswith("none"), profile.read_text())
    refused(1, f": {PF} is a PF, not a VF", "profile", PF)


def vfs_are_created_and_removed() -> None:
    found = json.loads(call("create", "--json", OTHER, "3").stdout)
    expect(found == {"function": OTHER, "functions": []}, found)
    expect((root / PCI / OTHER / "sriov_numvfs").read_text().startswith("3"), "create")
    result = call("remove", OTHER)
    expect(result.returncode == 0 and not result.stdout and not result.stderr, result)
    expect((root / PCI / OTHER / "sriov_numvfs").read_text().startswith("0"), "remove")


def wrong_words_are_named_and_change_nothing() -> None:
    nothing = "(see vfmigctl list)"
    for name in ("x", "", "00:00.9", "ffff:00:00", f"{PF}/../{OTHER}", "../x"):
        refused(1, f": there is no function '{name}' of vfmig {nothing}", "show", name)
        refused(1, f": there is no function '{name}' of vfmig {nothing}", "erase", name)
    refused(1, f": {PF} is a PF, not a VF", "erase", PF)
    refused(1, f": {PF} is a PF, not a VF", "resize", PF, "1")
    refused(1, f": {VFS[0]} is a VF, not a PF", "create", VFS[0], "1")
    refused(1, f": {VFS[0]} is a VF, not a PF", "remove", VFS[0])
    refused(1, f": {PF} has 2 VFs already: remove them first", "create", PF, "1")
    for number in ("0", "65", "x", "1x", "", " 1", "+1", "99999999999999999999"):
        refused(2, f": number of VFs '{number}' is no number from 1 to 64", "create", OTHER, number)
    for size in ("0", "4294967296", "1 MiB"):
        refused(2, f": size in MiB '{size}' is no number from 1 to 4294967295", "resize", VFS[0],
                size)
    refused(1, f": {PF} has no setting 'x'; it has: media_mb, model", "set", PF, "x", "1")
    for name in ("x", "media_allocated", "../x", ".", ""):
        refused(1, f": {VFS[0]} has no setting '{name}'; it has: io_latency_us, media_mb", "set",
                VFS[0], name, "1")
    refused(2, " set: an argument is missing", "set", PF, "media_mb")
    refused(2, " erase: one argument too many: 'x'", "erase", VFS[0], "x")
    refused(2, " list: unrecognized option '--no'", "list", "--no")


def open_vfs_are_not_removed() -> None:
    refused(1, f": {VFS[0]} is open, by process 18 (other); --force waits for it",
            "remove", PF)
    expect(call("remove", "--force", PF).returncode == 0, "--force")
    write(f"{PCI}/{PF}/sriov_numvfs", "2\n")


def missing_files_are_unknown() -> None:
    """A kernel without debugfs, and a VF that another driver has."""
    (root / "sys/kernel/debug").rename(root / "sys/kernel/other")
    try:
        found = json.loads(call("list", "--json").stdout)[0]["functions"][0]
        expect(found["state"] is None and found["media_mb"] is None, found)
        refused(1, f": there is no {root}/sys/kernel/debug/vfmig/{VFS[0]}: is debugfs mounted?",
                "set", VFS[0], "media_mb", "1")
    finally:
        (root / "sys/kernel/other").rename(root / "sys/kernel/debug")
    erase = root / DEBUG / "vfmig" / VFS[1] / "erase"
    erase.unlink()
    refused(1, f": {VFS[1]} has no disk", "erase", VFS[1])
    refused(1, f": {VFS[1]} has no disk", "resize", VFS[1], "5")


def nothing_is_there() -> None:
    empty = subprocess.run([vfmigctl, "--root=/nowhere", "list"], capture_output=True, text=True,
                           check=False)
    expect(empty.returncode == 0 and
           empty.stdout == "There is no device of vfmig: modprobe vfmig_sim creates one.\n", empty)
    empty = subprocess.run([vfmigctl, "--root=/nowhere", "list", "--json"], capture_output=True,
                           text=True, check=False)
    expect(json.loads(empty.stdout) == [], empty)
    empty = subprocess.run([vfmigctl, "--root=/nowhere", "show", PF], capture_output=True,
                           text=True, check=False)
    expect(empty.returncode == 1 and empty.stderr ==
           "vfmigctl: there is no device of vfmig (is vfmig_sim loaded?)\n", empty)


TESTS = [list_is_json, list_is_a_table, show_has_all_values, watch_is_json_lines,
         wrong_words_are_named_and_change_nothing, open_vfs_are_not_removed, settings_are_changed,
         faults_are_lines, profiles_are_names, vfs_are_created_and_removed, missing_files_are_unknown, nothing_is_there]


def main() -> int:
    global vfmigctl, root        # pylint: disable=global-statement
    if len(sys.argv) != 2:
        sys.exit("usage: device_test.py VFMIGCTL")
    vfmigctl = os.path.abspath(sys.argv[1])
    os.environ["LC_ALL"] = "C"
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make_root()
        return run(TESTS)


if __name__ == "__main__":
    sys.exit(main())
