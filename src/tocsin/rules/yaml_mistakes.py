"""What a person did when a file is no YAML: the parser's words turned into a place and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable

from tocsin.rules.problems import Mark

_SPACELESS = re.compile(r"\s*(?:- )?([A-Za-z_][\w|.-]*):[^\s:/]")  # a key whose value begins at its colon
_LONGEST_SHOWN = 40

Told = tuple[Mark, str]


def told_of(text: str, at: Mark, opened: Mark, problem: str) -> Told:
    """Where the mistake is and what to do, from where the parser stopped, and what it had begun.

    `problem` is PyYAML's own text (libyaml's, and the Python parser's, which says the same).
    """
    page = _Page(text, at, opened)
    if page.line(at).lstrip(" ").startswith("\t"):
        return at, "a tab is no indentation in YAML; indent with spaces"
    for words, tell in _TOLD:
        if words in problem:
            return tell(page)
    return at, f"this is not YAML: {problem}; text with special characters needs quotes"


def spaceless(text: str) -> str:
    """`key: value` for a text like `key:value`, which YAML takes for one text; empty for other texts."""
    first = text.split("\n", 1)[0].strip()
    found = _SPACELESS.match(first)
    if found is None or len(first) > 2 * _LONGEST_SHOWN:
        return ""
    return f"{found[1]}: {first[found.end() - 1 :]}"


class _Page:
    """The file's lines, where the parser stopped, and where it had begun what it could not end."""

    def __init__(self, text: str, at: Mark, opened: Mark) -> None:
        self.lines = text.split("\n")
        self.at, self.opened = at, opened

    def line(self, mark: Mark) -> str:
        return self.lines[mark.line - 1] if 0 < mark.line <= len(self.lines) else ""

    def char(self, mark: Mark) -> str:
        return self.line(mark)[mark.column - 1 : mark.column] or " "

    def value(self, mark: Mark) -> str:
        """What is written from there on, as far as one value goes."""
        return re.split(r" #|, ", self.line(mark)[mark.column - 1 :])[0].rstrip(" }]\r")[:_LONGEST_SHOWN]

    def before(self) -> str:
        """The line as far as it was read."""
        return self.line(self.at)[: self.at.column - 1]

    def above(self) -> str:
        """The nearest line above with something in it."""
        return next((one for one in reversed(self.lines[: self.at.line - 1]) if one.strip()), "")


def _never_closed(page: _Page) -> Told:
    return page.opened, f"this quote ({page.char(page.opened)}) is never closed; close it"


def _unclosed(page: _Page) -> Told:
    bracket = page.char(page.opened)
    if page.at.line == page.opened.line:
        told = 'entries are divided by ","; a value with ":", quotes or brackets in it needs quotes around it'
        return page.at, f"inside {bracket} {told}"
    return page.opened, f'this "{bracket}" is never closed; add "{"}" if bracket == "{" else "]"}"'


def _colon(page: _Page) -> Told:
    if ": " in page.before():
        return page.at, 'a value with ": " in it needs quotes around the whole value'
    found = _SPACELESS.match(page.above())
    if found:
        return page.at, f'the line above lacks a space after its colon; write "{found[1]}: …"'
    return page.at, "this line is indented deeper than the line above allows; align it with its neighbours"


def _neighbour(page: _Page) -> Told:
    before = page.before().rstrip()
    if before.endswith(("'", '"')):
        told = "text goes on after the closing quote; within single quotes a quote is written twice ('')"
    elif before:
        told = "something is left over here; remove it, or put the whole value in quotes"
    else:
        told = "this line is indented unlike the lines above it; align it with its neighbours"
    return page.at, told


def _start(page: _Page) -> Told:
    shown = page.value(page.opened)
    told = f"a value cannot begin with {page.char(page.opened)}"
    return page.opened, f"{told}; put the whole value in quotes: '{shown}'"


def _nothing(page: _Page) -> Told:
    told = f'"{page.char(page.at)}" stands where a value is expected'
    return page.at, f"{told}; remove it, or put the value in quotes"


def _escape(page: _Page) -> Told:
    return page.at, 'in double quotes a "\\" begins an escape; use single quotes, or write "\\\\"'


def _colonless(page: _Page) -> Told:
    return page.opened, f'a ":" is missing after "{page.value(page.opened)}"; write key: value'


def _list_beside(page: _Page) -> Told:
    return page.at, 'a list cannot begin on its key\'s line; write [a, b], or each "- " on a line of its own'


# By what the parser says; the first that is found in it.
_TOLD: tuple[tuple[str, Callable[[_Page], Told]], ...] = (
    ("end of stream", _never_closed),
    ("',' or", _unclosed),
    ("mapping values", _colon),
    ("cannot start any token", _start),
    ("alphabetic or numeric", _start),
    ("escape", _escape),
    ("hexdecimal", _escape),
    ("hexadecimal", _escape),
    ("expected key", _neighbour),
    ("'-' indicator", _neighbour),
    ("could not find expected ':'", _colonless),
    ("block sequence entries", _list_beside),
    ("node content", _nothing),
)
