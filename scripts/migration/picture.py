# SPDX-License-Identifier: GPL-2.0-only
"""The pictures, drawn by gnuplot: device state, bytes left and the guest's I/O on one time
axis, one migration or several side by side.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from . import Failure
from .timeline import Timeline
from .trace import Device

STATES = ("RUNNING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P", "STOP", "STOP_COPY", "RESUMING")

MIB = 1 << 20

# Of one migration's column, in pixels
WIDTH, HEIGHT = 900, 760
LEFT, RIGHT = 125, 70

BLUE, ORANGE, RED, GREEN, OCHRE = "#1f5fa8", "#d9730d", "#b2182b", "#2e7d32", "#b8860b"
DOWNTIME = "#f4c7c3"

STYLE = """
set border 3 lw 0.8 lc rgb "#444444"
set tics nomirror out scale 0.4
set key at graph 0.5, graph 1.03 bottom center horizontal samplen 1.5 noenhanced
set multiplot
"""


@dataclass
class Curve:
    """Points, how to draw them, and what the legend says, if anything."""
    rows: list[tuple[float, ...]]
    style: str
    colour: str
    title: str = ""
    axes: str = "x1y1"


def plot(curves: list[Curve]) -> str:
    """gnuplot's commands.  It takes no plot without a curve, and none without a point."""
    data, parts = [], []
    for number, curve in enumerate(curves or [Curve([], "lines", BLUE)]):
        lines = [" ".join(f"{value:.9g}" for value in row) for row in curve.rows]
        data.append(f"$data{number} << EOD\n" + "\n".join(lines or ["NaN NaN"]) + "\nEOD\n")
        title = f"title '{curve.title}'" if curve.title else "notitle"
        parts.append(f"$data{number} using 1:2 axes {curve.axes} with {curve.style} "
                     f"lc rgb '{curve.colour}' {title}")
    return "".join(data) + "plot " + ", ".join(parts) + "\n"


def devices(timeline: Timeline) -> list[Device]:
    return list(timeline.source.devices.values()) if timeline.source else []


def state_curves(timeline: Timeline) -> Iterator[Curve]:
    """From RUNNING, in which each VF is opened, to what it was in the end."""
    begin, until = timeline.window()
    for trace, side, colour in ((timeline.source, "source", BLUE),
                                (timeline.destination, "destination", ORANGE)):
        title = f"device at the {side}"
        for device in trace.devices.values() if trace else ():
            rows = [(begin, 0.0)]
            rows += [(max(when - timeline.begin, begin), float(STATES.index(state)))
                     for when, state in device.states if state in STATES]
            rows.append((until, rows[-1][1]))
            yield Curve(rows, "steps lw 2", colour, title)
            title = ""


def left_curves(timeline: Timeline) -> Iterator[Curve]:
    titles = ["initial", "dirty (right axis)", "read in STOP_COPY"]
    for device in devices(timeline):
        initial = [(when - timeline.begin, size / MIB) for when, size, _ in device.left]
        dirty = [(when - timeline.begin, size / MIB) for when, _, size in device.left]
        left = sum(size for _, size in device.stopcopy)
        stopcopy = []
        for when, size in device.stopcopy:
            stopcopy.append((when - timeline.begin, left / MIB))
            left -= size
        yield Curve(initial, "lines lw 2", BLUE, titles[0])
        yield Curve(dirty, "lines lw 1.5", OCHRE, titles[1], "x1y2")
        yield Curve(stopcopy, "lines lw 2", RED, titles[2])
        titles = ["", "", ""]


def dirty_axis(timeline: Timeline) -> str:
    """Little beside the initial data, dirty data has an axis of its own."""
    most = max((dirty / MIB for device in devices(timeline) for _, _, dirty in device.left),
               default=0)
    tics = f"""set y2tics textcolor rgb '{OCHRE}'
set y2label 'MiB dirty' textcolor rgb '{OCHRE}'"""
    return f"set y2range [0:{most * 1.1 or 1}]\n{tics if most else ''}"


def column(timeline: Timeline, left: float, right: float) -> str:
    """One migration's three plots, between two parts of the page's width."""
    begin, until = timeline.window()
    title = timeline.title
    shade = "unset object 1"
    if timeline.stopped and timeline.resumed:
        title += f", stopped for {timeline.resumed - timeline.stopped:.2f} s (shaded)"
        shade = (f"set object 1 rectangle from {timeline.stopped - timeline.begin}, graph 0 "
                 f"to {timeline.resumed - timeline.begin}, graph 1 behind "
                 f"fillcolor rgb '{DOWNTIME}' fillstyle solid noborder")
    ytics = ", ".join(f"'{state}' {at}" for at, state in enumerate(STATES))
    iops = [(when - timeline.begin, rate) for when, rate in timeline.iops()]
    return f"""
set lmargin at screen {left}
set rmargin at screen {right}
set xrange [{begin}:{until}]
{shade}
set title '{title}' noenhanced offset 0,1.2
set tmargin at screen 0.90
set bmargin at screen 0.66
set format x ''
set xlabel
set ylabel
set ytics ({ytics}) noenhanced
set yrange [{len(STATES) - 0.5}:-0.5]
{plot(list(state_curves(timeline)))}
set title
set tmargin at screen 0.59
set bmargin at screen 0.37
set ylabel 'MiB left'
set ytics auto
set yrange [0:*]
{dirty_axis(timeline)}
{plot(list(left_curves(timeline)))}
unset y2tics
set y2label
set tmargin at screen 0.32
set bmargin at screen 0.09
set format x
set xlabel 'seconds since the migration began'
set ylabel 'guest I/O per second'
{plot([Curve(iops, "fsteps lw 1.5", GREEN)])}
"""


def draw(timelines: list[Timeline], base: Path, formats: tuple[str, ...]) -> list[str]:
    """Draws a page base.svg and so on; returns the files' names, none without gnuplot."""
    if not shutil.which("gnuplot"):
        return []
    width = WIDTH * len(timelines)
    terminals = {"svg": f"svg size {width},{HEIGHT} font 'DejaVu Sans,12' background rgb 'white'",
                 "png": f"pngcairo size {width},{HEIGHT} font 'DejaVu Sans,10'"}
    page = STYLE
    for number, timeline in enumerate(timelines):
        page += column(timeline, (number * WIDTH + LEFT) / width,
                       ((number + 1) * WIDTH - RIGHT) / width)
    page += "unset multiplot\n"
    files = [base.with_suffix(f".{kind}") for kind in formats]
    script = base.with_suffix(".gnuplot")
    script.write_text("".join(
        f"reset\nset terminal {terminals[kind]}\nset output '{file}'\n{page}set output\n"
        for kind, file in zip(formats, files)))
    done = subprocess.run(["gnuplot", str(script)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"gnuplot: {done.stderr.strip()[:300]}")
    return [file.name for file in files]
