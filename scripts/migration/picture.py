# SPDX-License-Identifier: GPL-2.0-only
"""The pictures, drawn by gnuplot: device state, bytes left, the guest's I/O and its traffic
on one time axis, one migration or several side by side.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from . import Failure
from .timeline import Counter, Timeline
from .trace import Device

STATES = ("RUNNING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P", "STOP", "STOP_COPY", "RESUMING")

MIB = 1 << 20

# Of one migration's column, in pixels: its width, the height of each of its plots and of
# what is between them, and the margins
WIDTH = 900
PLOT, GAP = 175, 50
LEFT, RIGHT, TOP, BOTTOM = 125, 70, 76, 68

BLUE, ORANGE, RED, GREEN, OCHRE = "#1f5fa8", "#d9730d", "#b2182b", "#2e7d32", "#b8860b"
GREY = "#888888"
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


def left_unit(timeline: Timeline) -> tuple[str, int]:
    """A NIC has only some KiB to move."""
    sizes = [size for device in devices(timeline)
             for size in (*(initial + dirty for _, initial, dirty in device.left),
                          sum(size for _, size in device.stopcopy))]
    return ("MiB", MIB) if max(sizes, default=0) > MIB // 4 else ("KiB", 1 << 10)


def left_curves(timeline: Timeline) -> Iterator[Curve]:
    _, unit = left_unit(timeline)
    titles = ["initial", "dirty (right axis)", "read in STOP_COPY"]
    for device in devices(timeline):
        initial = [(when - timeline.begin, size / unit) for when, size, _ in device.left]
        dirty = [(when - timeline.begin, size / unit) for when, _, size in device.left]
        left = sum(size for _, size in device.stopcopy)
        stopcopy = []
        for when, size in device.stopcopy:
            stopcopy.append((when - timeline.begin, left / unit))
            left -= size
        yield Curve(initial, "lines lw 2", BLUE, titles[0])
        yield Curve(dirty, "lines lw 1.5", OCHRE, titles[1], "x1y2")
        yield Curve(stopcopy, "lines lw 2", RED, titles[2])
        titles = ["", "", ""]


def dirty_axis(timeline: Timeline) -> str:
    """Little beside the initial data, dirty data has an axis of its own."""
    name, unit = left_unit(timeline)
    most = max((dirty / unit for device in devices(timeline) for _, _, dirty in device.left),
               default=0)
    tics = f"""set y2tics textcolor rgb '{OCHRE}'
set y2label '{name} dirty' textcolor rgb '{OCHRE}'"""
    return f"set y2range [0:{most * 1.1 or 1}]\n{tics if most else ''}"


def state_plot(timeline: Timeline) -> str:
    ytics = ", ".join(f"'{state}' {at}" for at, state in enumerate(STATES))
    return f"""set ylabel
set ytics ({ytics}) noenhanced
set yrange [{len(STATES) - 0.5}:-0.5]
{plot(list(state_curves(timeline)))}
set title
set ytics auto
set yrange [0:*]"""


def left_plot(timeline: Timeline) -> str:
    return f"""set ylabel '{left_unit(timeline)[0]} left'
{dirty_axis(timeline)}
{plot(list(left_curves(timeline)))}
unset y2tics
set y2label"""


def rate_curve(timeline: Timeline, counter: Counter, colour: str, title: str = "",
               unit: float = 1) -> Curve:
    rows = [(when - timeline.begin, rate / unit) for when, rate in timeline.per_second(counter)]
    return Curve(rows, "fsteps lw 1.5", colour, title)


def io_plot(timeline: Timeline) -> str:
    return f"""set ylabel 'guest I/O per second'
{plot([rate_curve(timeline, timeline.io, GREEN)])}"""


def traffic_plot(timeline: Timeline) -> str:
    """What the NIC carries, and the pings that the guest replies to."""
    replies = rate_curve(timeline, timeline.replies, GREY, "pings per second (right axis)")
    replies.axes = "x1y2"
    curves = [replies, rate_curve(timeline, timeline.from_guest, GREEN, "from the guest", MIB),
              rate_curve(timeline, timeline.to_guest, BLUE, "to the guest", MIB)]
    return f"""set ylabel 'MiB per second'
set y2range [0:*]
set y2tics textcolor rgb '{GREY}'
{plot(curves)}
unset y2tics"""


def plots(timeline: Timeline) -> list[str]:
    """Those of one migration, from top to bottom."""
    found = [state_plot(timeline), left_plot(timeline)]
    if timeline.io.samples or not timeline.replies.samples:
        found.append(io_plot(timeline))
    if timeline.replies.samples:
        found.append(traffic_plot(timeline))
    return found


def page_height(timelines: list[Timeline]) -> int:
    most = max(len(plots(timeline)) for timeline in timelines)
    return TOP + most * PLOT + (most - 1) * GAP + BOTTOM


def column(timeline: Timeline, left: float, right: float, height: int) -> str:
    """One migration's plots, between two parts of the page's width."""
    begin, until = timeline.window()
    title = timeline.title
    shade = "unset object 1"
    if timeline.stopped and timeline.resumed:
        title += f", stopped for {timeline.resumed - timeline.stopped:.2f} s (shaded)"
        shade = (f"set object 1 rectangle from {timeline.stopped - timeline.begin}, graph 0 "
                 f"to {timeline.resumed - timeline.begin}, graph 1 behind "
                 f"fillcolor rgb '{DOWNTIME}' fillstyle solid noborder")
    page = f"""
set lmargin at screen {left}
set rmargin at screen {right}
set xrange [{begin}:{until}]
{shade}
set title '{title}' noenhanced offset 0,1.2
set format x ''
set xlabel
"""
    found = plots(timeline)
    for number, commands in enumerate(found):
        top = height - TOP - number * (PLOT + GAP)
        if number == len(found) - 1:
            page += "set format x\nset xlabel 'seconds since the migration began'\n"
        page += (f"set tmargin at screen {top / height}\n"
                 f"set bmargin at screen {(top - PLOT) / height}\n{commands}\n")
    return page


def draw(timelines: list[Timeline], base: Path, formats: tuple[str, ...]) -> list[str]:
    """Draws a page base.svg and so on; returns the files' names, none without gnuplot."""
    if not shutil.which("gnuplot"):
        return []
    width, height = WIDTH * len(timelines), page_height(timelines)
    terminals = {"svg": f"svg size {width},{height} font 'DejaVu Sans,12' background rgb 'white'",
                 "png": f"pngcairo size {width},{height} font 'DejaVu Sans,10'"}
    page = STYLE
    for number, timeline in enumerate(timelines):
        page += column(timeline, (number * WIDTH + LEFT) / width,
                       ((number + 1) * WIDTH - RIGHT) / width, height)
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
