# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of faults, and where a file can have each."""

import platform
from dataclasses import dataclass
from random import Random
from typing import Callable, Iterator

from mutation.c_source import Token, body_tokens, matching


@dataclass(frozen=True)
class Fault:
    """A replacement of the characters from @begin to @end of @file."""
    kind: str
    file: str
    line: int
    begin: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        new = self.new if self.new.strip(" ;") else "(left out)"
        return f"{self.file}:{self.line}: {self.kind}: {one_line(self.old)} -> {one_line(new)}"


# Where in the source, and what is put there
Change = tuple[Token, Token, str]
Finder = Callable[[list[Token], str], Iterator[Change]]

LOCKS = ("lock", "unlock", "guard", "scoped_guard", "rcu_read_", "lockdep")
BARRIERS = ("smp_", "barrier", "synchronize_", "_wait_for_", "wait_event", "flush_", "cancel_",
            "drain_")
# What these order is in that order on x86 anyway
NOTHING_ON_X86 = ("smp_rmb", "smp_wmb", "smp_mb__before_atomic", "smp_mb__after_atomic")
# Calls that check or report, and do nothing
IDLE = ("lockdep_", "might_sleep", "WARN", "pr_", "dev_", "pci_info", "pci_warn", "pci_err",
        "BUILD_BUG", "static_assert", "trace_", "cond_resched", "cpu_relax", "net_")
# Words before a bracket that are no functions
NO_CALLS = {"if", "while", "for", "switch", "return", "sizeof", "typeof", "do", "else", "case"}

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
LOGIC = {"&&": "||", "||": "&&"}
SUMS = {"+": "-", "-": "+", "<<": ">>", ">>": "<<", "|": "&", "&": "|", "+=": "-=", "-=": "+=",
        "|=": "&=", "%": "/"}
# What can be before an operator that has two operands
OPERAND_ENDS = {")", "]"}


def one_line(text: str) -> str:
    return " ".join(text.split())


def text_of(source: str, first: Token, last: Token) -> str:
    return source[first.begin:last.end]


def turned_conditions(body: list[Token], source: str) -> Iterator[Change]:
    """Those of loops are left alone: the loop may have no end then."""
    for index, token in enumerate(body[:-1]):
        if token.text == "if" and body[index + 1].text == "(":
            end = matching(body, index + 1)
            if end is not None:
                first, last = body[index + 1], body[end]
                yield first, last, f"(!{text_of(source, first, last)})"


def is_binary(body: list[Token], index: int) -> bool:
    """Has the operator at @index an operand before it?"""
    if not index or body[index - 1].text in ("return", "case"):
        return False
    return body[index - 1].kind in ("word", "number") or body[index - 1].text in OPERAND_ENDS


def replaced_signs(table: dict[str, str]) -> Finder:
    def find(body: list[Token], _source: str) -> Iterator[Change]:
        for index, token in enumerate(body):
            if token.text in table and is_binary(body, index):
                yield token, token, table[token.text]
    return find


def statement_calls(body: list[Token]) -> Iterator[tuple[Token, Token]]:
    """Calls whose value nobody looks at, with their semicolons."""
    for index, token in enumerate(body[:-1]):
        if token.kind != "word" or token.text in NO_CALLS or body[index + 1].text != "(":
            continue
        if index and body[index - 1].text not in (";", "{", "}", ")", "else", ":"):
            continue
        end = matching(body, index + 1)
        if end is not None and end + 1 < len(body) and body[end + 1].text == ";":
            yield token, body[end + 1]


def calls(wanted: Callable[[str], bool]) -> Finder:
    def find(body: list[Token], _source: str) -> Iterator[Change]:
        for first, last in statement_calls(body):
            if not first.text.startswith(IDLE) and wanted(first.text):
                yield first, last, ";"
    return find


def is_lock(name: str) -> bool:
    return any(part in name for part in LOCKS)


def is_barrier(name: str) -> bool:
    return not is_lock(name) and any(part in name for part in BARRIERS)


def is_other(name: str) -> bool:
    return not is_lock(name) and not is_barrier(name)


def changed_constants(body: list[Token], _source: str) -> Iterator[Change]:
    for token in body:
        if token.kind == "number":
            digits = token.text.rstrip("uUlL")
            octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
            yield token, token, str(int(digits, 8 if octal else 0) + 1)


def changed_errors(body: list[Token], _source: str) -> Iterator[Change]:
    """An error that is none, or another one."""
    for index, token in enumerate(body):
        if token.kind != "word" or not token.text.startswith("E") or not token.text.isupper():
            continue
        if index and body[index - 1].text == "-" and not is_binary(body, index - 1):
            yield body[index - 1], token, "0"
            yield token, token, "EXDEV"


def lost_assignments(body: list[Token], _source: str) -> Iterator[Change]:
    """Of a member or an element: without that of a variable the compiler would complain."""
    start = 0
    for index, token in enumerate(body):
        if token.text in (";", "{", "}", ":"):
            start = index + 1
        elif token.text == "=" and body[start].kind == "word" and start < index:
            target = body[start:index]
            if not any(part.text in ("->", ".", "[") for part in target):
                continue
            if any(part.text in ("(", ",") or part.text in NO_CALLS for part in target):
                continue
            end = next((i for i in range(index, len(body)) if body[i].text in (";", "{")), None)
            if end is not None and body[end].text == ";":
                yield body[start], body[end], ";"


KINDS: dict[str, Finder] = {
    "condition turned": turned_conditions,
    "comparison": replaced_signs(COMPARISONS),
    "and/or": replaced_signs(LOGIC),
    "arithmetic": replaced_signs(SUMS),
    "constant": changed_constants,
    "error value": changed_errors,
    "call left out": calls(is_other),
    "lock left out": calls(is_lock),
    "barrier or wait left out": calls(is_barrier),
    "assignment left out": lost_assignments,
}


def faults_of(file: str, source: str) -> Iterator[Fault]:
    for body in body_tokens(source):
        for kind, find in KINDS.items():
            for first, last, new in find(body, source):
                yield Fault(kind, file, first.line, first.begin, last.end,
                            text_of(source, first, last), new)


def makes_no_difference(fault: Fault) -> str:
    """Why it does not on this machine, or nothing."""
    is_ordered = platform.machine() == "x86_64" and fault.old.startswith(NOTHING_ON_X86)
    return "no barrier on x86" if is_ordered else ""


def apply(fault: Fault, source: str) -> str:
    assert source[fault.begin:fault.end] == fault.old
    return source[:fault.begin] + fault.new + source[fault.end:]


def shuffled(faults: list[Fault], random: Random) -> Iterator[Fault]:
    """All of them, kinds in turn, or there would be hardly a lock among constants."""
    by_kind = {kind: [fault for fault in faults if fault.kind == kind] for kind in KINDS}
    for group in by_kind.values():
        random.shuffle(group)
    while any(by_kind.values()):
        kinds = [kind for kind, group in by_kind.items() if group]
        random.shuffle(kinds)
        for kind in kinds:
            yield by_kind[kind].pop()
