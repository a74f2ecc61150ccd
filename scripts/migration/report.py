# SPDX-License-Identifier: GPL-2.0-only
"""report.html: one page of a run, for whoever opens its results in a browser.

The page needs no network.  All that it links to is beside it, by relative names.
"""

from html import escape
from pathlib import Path
from typing import Any, Iterable, Iterator
from urllib.parse import quote

from .behaviour import repeat_command
from .result import Result
from .summary import COLUMNS, TEXTS, row, targets

NAME = "report.html"

# Logs that scripts/vm writes while the run goes on
VM_LOGS = ("console.log", "output.log", "qemu.log", "command", "accesses.log")
# What the QEMU of a migration leaves, by the ends of the files' names
QEMU_LOGS = ("log", "console", "trace", "command", "post-mortem", "libvirtd", "dmesg")

STYLE = """
:root { color-scheme: light dark; --line: #c4c8cf; --back: #ffffff; --raised: #f3f5f8;
  --text: #1b1f24; --soft: #515964; --link: #0b57a4; --good: #1a6b2f; --bad: #b0160f; }
@media (prefers-color-scheme: dark) {
  :root { --line: #444b55; --back: #14171b; --raised: #1e2329; --text: #e6e9ed;
    --soft: #a9b1bb; --link: #84bdf7; --good: #7fd493; --bad: #ff8f86; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1560px; padding: 1rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px; }
code { font: .9em/1.4 "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .4rem; text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
thead th { background: var(--raised); vertical-align: bottom; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th[scope="row"] { min-width: 7rem; }
td.text { min-width: 11.5rem; }
td ul { margin: 0; padding-left: 1rem; }
.wide { overflow-x: auto; }
.wide svg { display: block; min-width: 720px; max-width: 100%; height: auto; }
figure { margin: 1rem 0; }
details { margin: .5rem 0; }
details img { display: block; max-width: 100%; min-width: 720px; background: #ffffff; }
ul.files { columns: 18rem; padding-left: 1.2rem; }
ul.files li { break-inside: avoid; overflow-wrap: anywhere; }
@media (max-width: 900px) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
  table, caption, tbody, tr, th, td { display: block; width: 100%; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border: 1px solid var(--line); border-radius: 6px; margin-bottom: .8rem; }
  th, td, td.number { display: flex; gap: 1rem; justify-content: space-between;
    text-align: right; }
  td > *, th > * { min-width: 0; overflow-wrap: anywhere; }
  td::before, th[data-name]::before { content: attr(data-name); color: var(--soft);
    font-weight: 400; text-align: left; flex: none; max-width: 40%; }
  td.text { display: block; text-align: left; }
  td.text::before { display: block; max-width: none; }
  td.none { display: none; }
  tr > :last-child { border-bottom: 0; }
}
"""


def text(value: object) -> str:
    return escape(str(value), quote=True)


def link(name: str, label: str = "") -> str:
    """label is for those who see what is around it."""
    spoken = f' aria-label="{text(name)}"' if label else ""
    return f'<a href="{text(quote(name))}"{spoken}>{text(label or name)}</a>'


def listed(items: Iterable[str], attributes: str = "") -> str:
    """A list of pieces of HTML, nothing if there are none."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul{attributes}>{inside}</ul>" if inside else ""


def scrolled(content: str, label: str, role: str = "region") -> str:
    """What may be wider than the page.  It takes the focus, so that keys can scroll it."""
    return (f'<div class="wide" tabindex="0" role="{role}" aria-label="{text(label)}">'
            f"{content}</div>")


def section(title: str, content: str) -> str:
    """Nothing without content."""
    return f"<section>\n<h2>{text(title)}</h2>\n{content}\n</section>\n" if content else ""


# A cell: HTML, and the class that it has
Cell = tuple[str, str]


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> str:
    """The first cell of a row is its heading.  The roles are written out: on narrow screens
    CSS turns rows into cards, and a browser then no longer takes them for rows."""
    columns = list(columns)
    head = "".join(f'<th role="columnheader" scope="col">{text(name)}</th>' for name in columns)
    body = ""
    for cells in rows:
        body += '<tr role="row">'
        for number, (name, (content, kind)) in enumerate(zip(columns, cells)):
            tag, role = ("td", "cell") if number else ("th", "rowheader")
            scope = "" if number else ' scope="row"'
            kind = kind if content else "none"
            style = f' class="{kind}"' if kind else ""
            body += (f'<{tag} role="{role}"{scope}{style} data-name="{text(name)}">'
                     f"<span>{content}</span></{tag}>")
        body += "</tr>\n"
    return scrolled(f'<table role="table">\n<caption>{text(caption)}</caption>\n'
                    f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
                    f'<tbody role="rowgroup">\n{body}</tbody>\n</table>', caption)


def judged(result: Result) -> Cell:
    return text(result.outcome), "good" if result.good() else "bad"


class Page:
    """The report on the results of a run, whose files are in a directory."""

    def __init__(self, directory: Path, facts: dict[str, Any], results: list[Result]):
        self._directory = directory
        self._facts = facts
        self._migrations = [result for result in results if not result.behaviour]
        self._faults = [result for result in results if result.behaviour]
        self._results = results

    def _logs(self, result: Result) -> str:
        """Links to what the QEMUs of a migration have left."""
        items = []
        for qemu in result.qemus:
            links = [link(f"{qemu}.{kind}", kind) for kind in QEMU_LOGS
                     if (self._directory / f"{qemu}.{kind}").exists()]
            if links:
                items.append(f"{text(qemu)}: {', '.join(links)}")
        return listed(items)

    def _head(self, verdict: str, passed: bool) -> str:
        facts = [("Result", f'<span class="{"good" if passed else "bad"}">{text(verdict)}</span>'),
                 *((name, text(self._facts[key])) for name, key in (
                     ("Kernel", "kernel"), ("The guest's kernel", "guest_kernel"),
                     ("QEMU", "qemu"), ("The test VM's CPUs", "accel"))),
                 ("Left out", listed(text(f"{name}: {reason}")
                                     for name, reason in self._facts["left_out"].items())),
                 ("Begun again, as the emulated CPU lost the guest",
                  listed(map(text, self._facts["lost_guests"]))),
                 ("Targets", listed(
                     text(f"{target.name}: {target.measured:.3f}, at most {target.limit:.3f}: "
                          f"{'met' if target.met else 'NOT met'}")
                     for target in targets(self._results)))]
        return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>"
                                for name, value in facts if value) + "</dl>"

    def _migration_rows(self) -> Iterator[list[Cell]]:
        for result in self._migrations:
            cells = [(text(cell), "number" if column >= TEXTS else "")
                     for column, cell in enumerate(row(result))]
            cells[COLUMNS.index("status")] = judged(result)
            said = [words for words in (result.error, result.reason) if words]
            said += [*result.net_messages, *result.guest_messages]
            yield [*cells, (listed(map(text, said)), "text"), (self._logs(result), "text")]

    def _fault_rows(self) -> Iterator[list[Cell]]:
        for result in self._faults:
            fault = result.behaviour
            assert fault
            outcome, kind = judged(result)
            if fault.outcome != fault.best:
                outcome += text(f" (can be: {fault.best})")
            said = [*([fault.reason] if fault.reason else []),
                    *(line for line in fault.words if line != f"source: {fault.reason}")]
            found = [*([result.error] if result.error else []), *fault.left,
                     *(f"guest: {line}" for line in result.guest_messages)]
            yield [(f"{text(fault.when)}, {text(fault.side)}:<br><code>{text(fault.fault)}</code>",
                    ""),
                   (text(f"{result.qemu_source}, {result.iommu}, "
                         f"tracking: {result.dirty_tracking}"), ""),
                   (outcome, kind), (listed(map(text, said)), "text"),
                   (listed(map(text, found)), "text"), (text(fault.again), ""),
                   (f"<code>{text(repeat_command(fault))}</code>", "text"),
                   (self._logs(result), "text")]

    def _pictures(self) -> str:
        """The one to look at first as a part of the page; the others as files."""
        content = ""
        main = next((name for name in self._facts["timeline"] if name.endswith(".svg")), "")
        if main:
            svg = (self._directory / main).read_text(errors="replace")
            caption = "Device state, bytes left and what the guest did, over time"
            content += (f"<figure>{scrolled(svg[svg.index('<svg'):], caption, 'img')}"
                        f"<figcaption>{caption}: {link(main)}</figcaption></figure>\n")
        for result in self._migrations:
            for name in result.pictures:
                title = f"{result.scenario}, {result.mode}, guest {result.guest_io}"
                image = (f'<img src="{text(quote(name))}" loading="lazy" '
                         f'alt="Timeline of {text(title)}">')
                content += (f"<details><summary>{text(title)}</summary>"
                            f"{scrolled(image, title)}</details>\n")
        return content

    def _files(self) -> str:
        """All logs, also those of a migration that came to no result."""
        names = sorted(path.name for path in self._directory.iterdir()
                       if path.is_file() and path.name != NAME)
        names += [f"vm/{name}" for name in VM_LOGS if (self._directory / "vm" / name).exists()]
        return listed((link(name) for name in names), ' class="files"')

    def html(self, verdict: str, passed: bool) -> str:
        migrations = table("Each row is one migration of a guest.",
                           [*COLUMNS, "messages", "logs"], self._migration_rows())
        faults = table(
            "Each row is one fault that was set on a VF.  If the guest stayed at the source, it "
            "migrated once more without the fault.",
            ("fault", "QEMU", "outcome", "QEMU says", "found", "afterwards", "again by", "logs"),
            self._fault_rows())
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vfmig: {text(verdict)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>vfmig: migrations of guests</h1>
{self._head(verdict, passed)}
</header>
<main>
{section("Migrations", migrations if self._migrations else "")}{
    section("What QEMU makes of faults", faults if self._faults else "")}{
    section("Pictures", self._pictures())}{
    section("Logs and other files", self._files())}</main>
</body>
</html>
"""


def write(directory: Path, facts: dict[str, Any], results: list[Result], verdict: str,
          passed: bool) -> None:
    """The page on a run that has this verdict, or is under way."""
    (directory / NAME).write_text(Page(directory, facts, results).html(verdict, passed))
