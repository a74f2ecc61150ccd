# SPDX-License-Identifier: GPL-2.0-only
"""Figures of scripts/bench that need a guest.  A figure is the ratio of two measurements, taken
in turns.  In the form of report() in tools/testing/selftests/vfmig/lib/figure.c.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Callable, NoReturn

from . import Failure, GuestLost
from .tour import Lab

TOP = Path(__file__).resolve().parent.parent.parent

# As in lib/figure.h and vfmig_bench.c
ROUNDS = 15

# Guests that may be replaced
MAX_LOST = 2

# A measurement's name and samples
Measured = tuple[str, list[float]]


def bench_parser(doc: str, logs: str) -> argparse.ArgumentParser:
    """The options that such a benchmark has.  Its logs go to this folder of the output."""
    parser = argparse.ArgumentParser(description=doc.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--qemu", default="qemu-system-x86_64", metavar="PROGRAM",
                        help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=TOP / "build/bench", metavar="DIR",
                        help=f"where the figures go, and logs to DIR/{logs} "
                             "(default: build/bench)")
    parser.add_argument("--image", type=Path, default=TOP / "build/guest", metavar="DIR",
                        help="the guest (default: build/guest)")
    return parser


def run_bench(main: Callable[[], int]) -> NoReturn:
    """Ends the program with main's status, or with 1 and the reason if it can't measure."""
    try:
        sys.exit(main())
    except (Failure, OSError) as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        sys.exit(1)


def take_with_guests(lab: Lab, take: Callable[[], None], taken: Callable[[], str]) -> None:
    """Has a guest take what there is not yet.  An emulated processor may lose a guest (see
    Documentation/testing.rst): there, and there only, another one goes on with what is left."""
    lost = 0
    while True:
        try:
            take()
            return
        except GuestLost as failure:
            if os.environ.get("VFMIG_ACCEL") != "tcg" or lost == MAX_LOST:
                raise
            lost += 1
            lab.progress(f"was lost after {taken()}, another goes on: {failure}")


def report(output: Path, name: str, unit: str, target: float, first: Measured,
           second: Measured) -> bool:
    """The figure is the ratio of the medians: printed, and written to NAME.json.  Returns
    whether it meets the target."""
    (a_name, a), (b_name, b) = first, second
    ratio = statistics.median(a) / statistics.median(b)
    met = ratio >= target
    print(f"{name:<14} {ratio:6.2f}  ({a_name} {statistics.median(a):g} : "
          f"{b_name} {statistics.median(b):g} {unit}; target at least {target:g}: "
          f"{'met' if met else 'NOT MET'})", flush=True)
    samples = "".join(f'  "{key}": [{", ".join(f"{value:g}" for value in values)}],\n'
                      for key, values in (first, second))
    (output / f"{name}.json").write_text(
        f'{{\n  "name": "{name}",\n  "unit": "{unit}",\n{samples}'
        f'  "ratio": {ratio:.4f},\n  "target": ">= {target:g}",\n'
        f'  "met": {json.dumps(met)}\n}}\n')
    return met
