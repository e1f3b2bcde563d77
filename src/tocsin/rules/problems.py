"""Where the mistakes of a load are gathered, so that all are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from tocsin.errors import RuleError

NEAR_ENOUGH = 0.6  # difflib's own default: a typo, not another word
LONGEST_NAME = 100
MOST_NAMES = 500
MOST_SHOWN = 50


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int


class Problems:
    """The mistakes of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[RuleError] = []
        self.warnings: list[RuleError] = []

    def error(self, mark: Mark, message: str) -> None:
        """Note what stops the load."""
        self.errors.append(RuleError(self.file, mark.line, mark.column, message))

    def warning(self, mark: Mark, message: str) -> None:
        """Note what does not."""
        self.warnings.append(RuleError(self.file, mark.line, mark.column, message, severity="warning"))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, upper and lower case aside; None where nothing is near."""
    if len(name) > LONGEST_NAME:
        return None  # comparing is quadratic, and a file may be hostile
    folded = {word.casefold(): word for word in islice(known, MOST_NAMES) if len(word) <= LONGEST_NAME}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=NEAR_ENOUGH)
    return folded[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The way out of an unknown name: the nearest one, else all of them."""
    words = list(known)
    near = nearest(name, words)
    if near is not None:
        return f'did you mean "{near}"?'
    if not words:
        return "there is none"
    shown = sorted(word[:LONGEST_NAME] for word in words)
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return f"known are {', '.join(shown[:MOST_SHOWN])}{more}"
