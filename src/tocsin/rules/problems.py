"""Where the mistakes of a load are gathered, so that all are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from tocsin.errors import RuleError

NEAR_ENOUGH = 0.6  # difflib's own default: a typo, not another word


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
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=NEAR_ENOUGH)
    return folded[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The way out of an unknown name: the nearest one, else all of them."""
    words = list(known)
    near = nearest(name, words)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"known are {', '.join(sorted(words))}" if words else "there is none"
