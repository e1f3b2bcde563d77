"""Where the mistakes of a load are gathered, so that all are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

import msgspec

from tocsin.errors import RuleError

NEAR_ENOUGH = 0.6  # difflib's own default: a typo, not another word
LONGEST_NAME = 100
MOST_NAMES = 500
MOST_SHOWN = 50
MOST_HINTS = 100
# What people write who know another tool, or the words for it: each with what is meant, by place.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "timeframe": ("timespan",),
    "window": ("timespan",),
    "duration": ("timespan",),
    "groupby": ("group-by",),
    "by": ("group-by",),
    "threshold": ("gte",),
    "count": ("gte", "event_count"),
    "min": ("gte",),
    "max": ("lte",),
    ">=": ("gte",),
    ">": ("gt",),
    "<=": ("lte",),
    "<": ("lt",),
    "=": ("eq",),
    "==": ("eq",),
    "!=": ("neq",),
    "not": ("neq",),
    "ne": ("neq",),
    "ge": ("gte",),
    "le": ("lte",),
    "frequency": ("event_count",),
    "cardinality": ("value_count",),
    "distinct_count": ("value_count",),
    "info": ("informational",),
    "debug": ("informational",),
    "notice": ("low",),
    "minor": ("low",),
    "moderate": ("medium",),
    "warn": ("medium",),
    "warning": ("medium",),
    "error": ("high",),
    "major": ("high",),
    "severe": ("high",),
    "crit": ("critical",),
    "fatal": ("critical",),
    "urgent": ("critical",),
    "emergency": ("critical",),
    "regex": ("re",),
    "regexp": ("re",),
    "matches": ("re",),
    "like": ("contains",),
    "has": ("contains",),
    "prefix": ("startswith",),
    "suffix": ("endswith",),
    "beginswith": ("startswith",),
    "network": ("cidr",),
    "subnet": ("cidr",),
    "casesensitive": ("cased",),
    "level": ("severity",),
    "severity": ("level", "is"),
    "lvl": ("level",),
    "summary": ("title",),
    "headline": ("title",),
    "default": ("default",),
    "value": ("default",),
    "description": ("help",),
    "enable": ("enabled",),
    "provider": ("product",),
    "vendor": ("product",),
    "false_positives": ("falsepositives",),
    "disabled": ("enabled",),
    "expected": ("expect",),
}


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int


class ListedMark(Mark, frozen=True, gc=False):
    """The place of a value that was filled in from a list file; `listed` is the place there."""

    listed: str


class Problems:
    """The mistakes of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[RuleError] = []
        self.warnings: list[RuleError] = []
        self._expanded: set[Mark] = set()
        self._texts = 0

    def error(self, mark: Mark, message: str) -> None:
        """Note what stops the load."""
        self.errors.append(RuleError(self.file, mark.line, mark.column, _located(mark, message)))

    def warning(self, mark: Mark, message: str) -> None:
        """Note what does not."""
        told = _located(mark, message)
        self.warnings.append(RuleError(self.file, mark.line, mark.column, told, severity="warning"))

    def expanded(self, mark: Mark, count: int) -> int:
        """How many texts the `|expand`s of the file stand for: those so far, and so many at this place."""
        if mark not in self._expanded:  # a filter is read for each of its rules
            self._expanded.add(mark)
            self._texts += count
        return self._texts

    def hint(self, name: str, known: Iterable[str]) -> str:
        """`did_you_mean`, for the first mistakes of a file: looking is slow, and a file may be hostile."""
        return did_you_mean(name, known) if len(self.errors) < MOST_HINTS else "write one that is known"

    def unread(self, mark: Mark, what: str) -> None:
        """Note what could not be read, where nothing says why: no part of a rule goes without a word."""
        if not self.errors:
            self.error(mark, f"{what} cannot be read; compare it with the documentation")


def _located(mark: Mark, message: str) -> str:
    return f"{mark.listed}: {message}" if isinstance(mark, ListedMark) else message


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, upper and lower case aside; None where nothing is near."""
    if len(name) > LONGEST_NAME:
        return None  # comparing is quadratic, and a file may be hostile
    folded = {word.casefold(): word for word in islice(known, MOST_NAMES) if len(word) <= LONGEST_NAME}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=NEAR_ENOUGH)
    return folded[near[0]] if near else None


def meant_by(name: str, known: Iterable[str]) -> str | None:
    """The known word for what other tools, or other languages of rules, call by this name."""
    meant = SYNONYMS.get(name.strip().casefold(), ())
    return next((word for word in known if word in meant), None) if meant else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The way out of an unknown name: what other tools call so, the nearest one, else all of them."""
    words = list(known)
    near = meant_by(name, words) or nearest(name, words)
    if near is not None:
        return f'did you mean "{near}"?'
    if not words:
        return "there is none"
    shown = sorted(word[:LONGEST_NAME] for word in words)
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return f"known are {', '.join(shown[:MOST_SHOWN])}{more}"
