# SPDX-License-Identifier: GPL-2.0-only
"""Runs test functions and prints KTAP, as the kselftests do."""

import sys
import traceback
from typing import Callable


class Failed(Exception):
    """A test has found something; the text says what."""


def expect(condition: object, text: object) -> None:
    if not condition:
        raise Failed(str(text))


def run(tests: list[Callable[[], None]]) -> int:
    """The exit status.  Each test is called by its name, and its first argument is none."""
    failed = 0
    print(f"TAP version 13\n1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        try:
            test()
            result = "ok"
        except Exception as error:      # pylint: disable=broad-except
            text = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print("\n".join(f"# {line}" for line in text.splitlines()))
            result = "not ok"
            failed += 1
        print(f"{result} {number} {test.__name__}", flush=True)
    print(f"# {len(tests) - failed} passed, {failed} failed", file=sys.stderr)
    return 1 if failed else 0
