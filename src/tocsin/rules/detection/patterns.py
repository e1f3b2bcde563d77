r"""Sigma's text patterns: `*` any run (newlines too), `?` one character, `\*` `\?` `\\` themselves.

Why not a regular expression: several `*` backtrack, and the text is an attacker's. Here a pattern
is cut at its stars and each part is looked for from the left, which never goes back.
Texts and patterns are case-folded before they meet (unless `cased`), so `?` is one folded character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

TextTest = Callable[[str], bool]

DASHES = "-/–—―"  # noqa: RUF001 - what Windows takes for the dash of an option
_SPECIAL = re.compile(r"[*?\\]")
_DASH = re.compile(r"\B[-/]\b")


class Wild(Enum):
    """What stands for other characters in a pattern."""

    RUN = "*"
    ONE = "?"
    DASH = "-"


Pattern = tuple[str | Wild, ...]  # literals and wildcards, no two literals side by side


def is_literal(text: str) -> bool:
    """Whether there is text, and all of it stands for itself."""
    return text != "" and _SPECIAL.search(text) is None


def parse_pattern(text: str) -> Pattern:
    """The pattern that this text is."""
    if not text or is_literal(text):
        return (text,) if text else ()
    parts: list[str | Wild] = []
    literal: list[str] = []
    escaped = False
    for char in text:
        if escaped:
            literal.append(char if char in "*?\\" else "\\" + char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "*?":
            parts += ["".join(literal), Wild(char)]
            literal = []
        else:
            literal.append(char)
    return tidy([*parts, "".join(literal) + ("\\" if escaped else "")])


def tidy(parts: Iterable[str | Wild]) -> Pattern:
    """Neighbouring literals joined, empty ones and repeated runs dropped."""
    found: list[str | Wild] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, str) and isinstance(last, str):
            found[-1] = last + part
        elif part and not (part is Wild.RUN and last is Wild.RUN):
            found.append(part)
    return tuple(found)


def literal_of(pattern: Pattern) -> str | None:
    """The text that the pattern is, where it has no wildcard."""
    if not pattern:
        return ""
    return pattern[0] if len(pattern) == 1 and isinstance(pattern[0], str) else None


def with_windows_dashes(pattern: Pattern) -> Pattern:
    """Every dash or slash that begins an option stands for any of them."""
    parts: list[str | Wild] = []
    for part in pattern:
        if isinstance(part, str):
            pieces = _DASH.split(part)
            for piece in pieces[:-1]:
                parts += [piece, Wild.DASH]
            parts.append(pieces[-1])
        else:
            parts.append(part)
    return tidy(parts)


def folded(pattern: Pattern) -> Pattern:
    """The pattern for case-folded text."""
    return tuple(part.casefold() if isinstance(part, str) else part for part in pattern)


def matches_any(patterns: Iterable[Pattern]) -> TextTest:
    """Whether a text is one of the patterns, in full."""
    exact: set[str] = set()
    heads: set[str] = set()
    tails: set[str] = set()
    inner: set[str] = set()
    others: list[TextTest] = []
    for pattern in dict.fromkeys(patterns):
        match pattern:
            case ():
                exact.add("")
            case (str(text),):
                exact.add(text)
            case (str(text), Wild.RUN):
                heads.add(text)
            case (Wild.RUN, str(text)):
                tails.add(text)
            case (Wild.RUN, str(text), Wild.RUN):
                inner.add(text)
            case _:
                others.append(_globbed(pattern))
    tests = [
        *([frozenset(exact).__contains__] if exact else []),
        *([_begins(tuple(heads))] if heads else []),
        *([_ends(tuple(tails))] if tails else []),
        *([_holds(tuple(inner))] if inner else []),
        *others,
    ]
    return tests[0] if len(tests) == 1 else _either(tests)


def literals_at(kind: str, texts: Iterable[str]) -> TextTest:
    """Whether a text equals one of these, or `contains`, `startswith` or `endswith` one."""
    unique = frozenset(texts)
    match kind:
        case "contains":
            return _holds(tuple(unique))
        case "startswith":
            return _begins(tuple(unique))
        case "endswith":
            return _ends(tuple(unique))
        case _:
            return unique.__contains__


def _begins(heads: tuple[str, ...]) -> TextTest:
    return lambda text: text.startswith(heads)


def _ends(tails: tuple[str, ...]) -> TextTest:
    return lambda text: text.endswith(tails)


def _holds(needles: tuple[str, ...]) -> TextTest:
    if len(needles) == 1:
        needle = needles[0]
        return lambda text: needle in text

    def holds(text: str) -> bool:
        for needle in needles:  # noqa: SIM110 - a generator costs more than the search
            if needle in text:
                return True
        return False

    return holds


def _either(tests: Sequence[TextTest]) -> TextTest:
    return lambda text: any(test(text) for test in tests)


def _globbed(pattern: Pattern) -> TextTest:
    """Any pattern: the first part anchored in front, the last behind, those between from the left."""
    runs: list[list[str | Wild]] = [[]]
    for part in pattern:
        if part is Wild.RUN:
            runs.append([])
        else:
            runs[-1].append(part)
    if len(runs) == 1:
        whole = _part(runs[0])
        return lambda text: whole.fullmatch(text) is not None
    head, tail = _part(runs[0]), _part(runs[-1])
    tail_size = sum(len(part) if isinstance(part, str) else 1 for part in runs[-1])
    between = [_part(run) for run in runs[1:-1]]

    def glob(text: str) -> bool:
        begun = head.match(text)
        end = len(text) - tail_size
        if begun is None or end < begun.end() or tail.fullmatch(text, end) is None:
            return False
        at = begun.end()
        for part in between:
            found = part.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return glob


def _part(parts: Sequence[str | Wild]) -> re.Pattern[str]:
    """A stretch without runs as a regular expression, of fixed length, so nothing backtracks."""
    expression = {Wild.ONE: ".", Wild.DASH: f"[{re.escape(DASHES)}]"}
    text = "".join(re.escape(part) if isinstance(part, str) else expression[part] for part in parts)
    return re.compile(text, re.DOTALL)
