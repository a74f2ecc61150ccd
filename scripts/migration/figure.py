# SPDX-License-Identifier: GPL-2.0-only
"""A figure of scripts/bench: the ratio of two measurements, taken in turns.  In the form of
report() in tools/testing/selftests/vfmig/lib/figure.c.
"""

import json
import statistics
from pathlib import Path

# As in lib/figure.h and vfmig_bench.c
ROUNDS = 15

# A measurement's name and samples
Measured = tuple[str, list[float]]


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
