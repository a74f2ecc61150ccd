# SPDX-License-Identifier: GPL-2.0-only
"""Tokens of a C file in the kernel's style, as far as faults need them.

Comments, strings and the preprocessor's lines are left out.  A function's body is what is in
braces that open in the first column.
"""

import re
from dataclasses import dataclass
from typing import Optional

TOKEN = re.compile(r"""
    (?P<skip>   //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:\\\n|[^\n])* | \s+ )
  | (?P<text>   "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
  | (?P<number> \b(?:0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]*\b )
  | (?P<word>   [A-Za-z_]\w* )
  | (?P<sign>   <<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|. )
""", re.VERBOSE | re.DOTALL | re.MULTILINE)

PAIRS = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True)
class Token:
    kind: str           # text, number, word or sign
    text: str
    begin: int
    end: int
    line: int


def tokens(source: str) -> list[Token]:
    found = []
    line = 1
    for match in TOKEN.finditer(source):
        kind = match.lastgroup or "skip"
        if kind != "skip":
            found.append(Token(kind, match[0], match.start(), match.end(), line))
        line += match[0].count("\n")
    return found


def body_tokens(source: str) -> list[list[Token]]:
    """The tokens of each function's body, braces left out."""
    bodies: list[list[Token]] = []
    body: Optional[list[Token]] = None
    every = tokens(source)
    for before, token in zip(every, every[1:]):
        first_column = token.begin == 0 or source[token.begin - 1] == "\n"
        if first_column and token.text == "{" and before.text == ")":
            body = []
        elif first_column and token.text == "}" and body is not None:
            bodies.append(body)
            body = None
        elif body is not None:
            body.append(token)
    return bodies


def matching(body: list[Token], begin: int) -> Optional[int]:
    """The index of what closes the bracket at @begin."""
    opening = body[begin].text
    depth = 0
    for index in range(begin, len(body)):
        if body[index].text == opening:
            depth += 1
        elif body[index].text == PAIRS[opening]:
            depth -= 1
            if depth == 0:
                return index
    return None
