#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes the report of scripts/coverage from the counts of the programs that ran.

Usage: scripts/coverage_report.py DIR

DIR is build/coverage (scripts/coverage --help says what is in it).  gcov reads the counts of
each program, gcov-tool adds them up, and gcovr makes the page and the numbers of the sum.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Iterator

TOP = Path(__file__).resolve().parent.parent

# Lines of a file, and how often each was executed
Lines = dict[str, dict[int, int]]


def run(*command: str | Path, cwd: Path = TOP) -> str:
    result = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.exit(f"{Path(sys.argv[0]).name}: {command[0]} failed: {last}")
    return result.stdout


def link_notes(objects: Path, counts: Path) -> None:
    """gcov wants the compiler's notes beside the counts."""
    for notes in objects.rglob("*.gcno"):
        link = counts / notes.relative_to(objects)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(notes)


def is_ours(name: str) -> bool:
    """What the kernel's macros make of the events for tracing is not."""
    return name.startswith(("drivers/", "include/")) and not name.endswith("/trace.h") and \
        (TOP / name).exists()


def gcov(counts: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files of ours, and what gcov makes of their counts: a header is in several objects."""
    files = sorted(counts.rglob("*.gcda"))
    if not files:
        return
    for text in run("gcov", "--json-format", "--branch-probabilities", "--stdout",
                    *files).splitlines():
        for entry in json.loads(text)["files"]:
            name = entry["file"]
            if os.path.isabs(name):
                name = os.path.relpath(name, TOP)
            if is_ours(name):
                yield name, entry


def lines_of(counts: Path) -> Lines:
    lines: Lines = defaultdict(lambda: defaultdict(int))
    for name, entry in gcov(counts):
        for line in entry["lines"]:
            lines[name][line["line_number"]] += line["count"]
    return lines


# What takes memory, and can fail
ALLOCATES = re.compile(
    r"\b(?:(?:devm_)?k?v?(?:[mzc]alloc|memdup|strdup|asprintf)(?:_\w+)?|memdup_user\w*|"
    r"alloc_\w+|get_zeroed_page|pci_alloc_\w+|devlink_alloc|vhost_task_create|anon_inode_getfile|"
    r"sysfs_create_file|kobject_create_and_add|register_netdev\w*|root_device_register|"
    r"iommu_device_(?:sysfs_add|register))\(")

# So many lines after it, at most, it is looked at whether that has failed
CHECK_WITHIN = 7


def branches_of(merged: Path) -> dict[str, dict[int, list[int]]]:
    """How often each way out of a line was taken."""
    found: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for name, entry in gcov(merged):
        for line in entry["lines"]:
            counts = [branch["count"] for branch in line["branches"]]
            before = found[name].get(line["line_number"])
            if before and len(before) == len(counts):
                counts = [sum(pair) for pair in zip(before, counts)]
            if counts:
                found[name][line["line_number"]] = counts
    return found


def is_allocation(text: str) -> bool:
    """In a function, whose caller does not look at it instead."""
    return text.startswith("\t") and "return" not in text and bool(ALLOCATES.search(text))


def is_checked(line: int, branches: dict[int, list[int]]) -> bool:
    """Did what is allocated in this line fail, and succeed?  True if nothing depends on it."""
    for number in range(line, line + CHECK_WITHIN):
        if number in branches:
            return all(branches[number])
    return True


def write_allocations(file: Path, merged: Path) -> None:
    """Those that no test has seen fail, or succeed, as far as the code looks at that."""
    with file.open("w") as out:
        for name, branches in sorted(branches_of(merged).items()):
            for number, text in enumerate((TOP / name).read_text().splitlines(), 1):
                if is_allocation(text) and not is_checked(number, branches):
                    out.write(f"{name}:{number}: {text.strip()}\n")


def write_functions(file: Path, merged: Path) -> None:
    """Those that nothing called, and where they are."""
    calls: dict[str, int] = defaultdict(int)
    for name, entry in gcov(merged):
        for function in entry["functions"]:
            where = f"{name}:{function['start_line']}: {function['name']}"
            calls[where] += function["execution_count"]
    file.write_text("".join(f"{where}\n" for where in calls if not calls[where]))


def unpack(tests: Path) -> None:
    """What a program left is one file, as the VM writes that faster."""
    for archive in tests.glob("*.gcov.tar"):
        counts = archive.with_suffix("")
        if not counts.exists() or counts.stat().st_mtime < archive.stat().st_mtime:
            shutil.rmtree(counts, ignore_errors=True)
            counts.mkdir()
            run("tar", "-x", "-f", archive, "-C", counts)
            counts.touch()


def write_lines(out: Path) -> None:
    """For scripts/mutate: what each program reaches, and how long it takes."""
    (out / "lines").mkdir(exist_ok=True)
    for counts in sorted((out / "tests").glob("*.gcov")):
        target = out / "lines" / f"{counts.stem}.json"
        if target.exists() and target.stat().st_mtime > counts.stat().st_mtime:
            continue
        link_notes(out / "objects", counts)
        seconds = int((out / "tests" / f"{counts.stem}.seconds").read_text())
        target.write_text(json.dumps({"seconds": seconds, "files": lines_of(counts)}))


def merge(out: Path) -> Path:
    """The sum of all programs' counts, two at a time as gcov-tool wants it."""
    merged, before = out / "merged", out / "merged.before"
    shutil.rmtree(merged, ignore_errors=True)
    for counts in sorted((out / "tests").glob("*.gcov")):
        if not any(counts.rglob("*.gcda")):
            continue
        if not merged.exists():
            shutil.copytree(counts, merged, symlinks=True)
            continue
        shutil.rmtree(before, ignore_errors=True)
        merged.rename(before)
        run("gcov-tool", "merge", "-o", merged, before, counts)
    shutil.rmtree(before, ignore_errors=True)
    link_notes(out / "objects", merged)
    return merged


# What decides something.  A macro that loops or waits does, and so do min() and the like.
DECIDES = re.compile(r"\b(?:if|while|for|switch|case|\w*for_each\w*|wait_event\w*|scoped_guard|"
                     r"min\w*|max\w*|clamp\w*)\b|\?|&&|\|\|")
# So many lines a condition has at most
CONDITION_LINES = 8


def decides(source: list[str], number: int) -> bool:
    """Has this line, or the condition that it is a part of, a decision of its own?  The branches
    of other lines are in macros of the kernel: in set_bit() for constants, in page_to_virt()."""
    if DECIDES.search(source[number - 1]):
        return True
    opened = 0
    for before in reversed(source[max(0, number - 1 - CONDITION_LINES):number - 1]):
        if before.endswith(("&&", "||", "?")):
            return True
        if before.endswith((";", "{", "}", ":", "*/")):
            return False
        opened += before.count("(") - before.count(")")
        if opened > 0 and DECIDES.search(before):
            return True
    return False


def leave_out_macros(tracefile: Path) -> None:
    counts = json.loads(tracefile.read_text())
    for entry in counts["files"]:
        source = (TOP / entry["file"]).read_text().splitlines()
        for line in entry["lines"]:
            if not decides(source, line["line_number"]):
                line["branches"] = []
    tracefile.write_text(json.dumps(counts))


def make_page(out: Path, merged: Path) -> dict[str, Any]:
    for old in (*out.glob("index*.html"), *out.glob("index*.css")):
        old.unlink()
    tracefile = out / "counts.json"
    run("gcovr", "--root", TOP, "--object-directory", merged, "--filter", "drivers/",
        "--filter", "include/", "--exclude", ".*/trace.h", "--exclude-unreachable-branches",
        "--json", tracefile, merged)
    leave_out_macros(tracefile)
    run("gcovr", "--root", TOP, "--add-tracefile", tracefile, "--html-details",
        out / "index.html", "--html-title", "vfmig: what the tests execute",
        "--json-summary", out / "summary.json", "--json-summary-pretty")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:5.1f} %" if whole else "      -"


def row(name: str, files: list[dict[str, Any]]) -> str:
    def total(key: str) -> int:
        return sum(file[key] for file in files)

    covered, lines = total("line_covered"), total("line_total")
    taken, branches = total("branch_covered"), total("branch_total")
    return (f"{name:28} {covered:5} of {lines:5} {percent(covered, lines)}   "
            f"{taken:5} of {branches:5} {percent(taken, branches)}")


def table(summary: dict[str, Any]) -> Iterator[str]:
    """A row for each directory, and the total."""
    directories = defaultdict(list)
    for file in summary["files"]:
        directories[os.path.dirname(file["filename"])].append(file)
    yield f"{'directory':28} {'lines':>22}   {'branches':>22}"
    for name in sorted(directories):
        yield row(name, directories[name])
    yield row("total", summary["files"])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("one directory, please: that of scripts/coverage")
    out = Path(sys.argv[1]).resolve()
    unpack(out / "tests")
    if not (out / "objects").is_dir() or not any((out / "tests").glob("*.gcov/**/*.gcda")):
        sys.exit(f"{Path(sys.argv[0]).name}: no counts in {out}: run scripts/coverage")
    write_lines(out)
    merged = merge(out)
    write_functions(out / "functions.txt", merged)
    write_allocations(out / "allocations.txt", merged)
    text = "\n".join(table(make_page(out, merged)))
    (out / "table.txt").write_text(text + "\n")
    print(text)
    print(out / "index.html")


main()
