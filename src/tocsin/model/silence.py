"""A silence: alerts that match it are not told to anybody until it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

Operator = Literal["=", "!=", "=~", "!~"]
_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_.:-]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)


class Matcher(NamedTuple):
    """`label op value`, Alertmanager's way; a regular expression matches the whole label value."""

    label: str
    operator: Operator
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it; an absent label is empty text."""
        actual = labels.get(self.label, "")
        match self.operator:
            case "=":
                return actual == self.value
            case "!=":
                return actual != self.value
            case "=~":
                return _pattern(self.value).fullmatch(actual) is not None
            case _:
                return _pattern(self.value).fullmatch(actual) is None

    def __str__(self) -> str:
        """As it is written in a file."""
        return f'{self.label}{self.operator}"{self.value}"'


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def parse_matcher(text: str) -> Matcher:
    """`severity=~"high|critical"` as a Matcher; quotes may be left out.

    Raises:
        ValueError: with what is wrong and an example.
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(
            f"""{text!r} is not a matcher; write label, operator, value: severity=~"high|critical\""""
        )
    label, operator, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\\\"', '"')
    matcher = Matcher(label, operator, value)  # type: ignore[arg-type]
    if operator in ("=~", "!~"):
        try:
            _pattern(value)
        except re.error as exc:
            raise ValueError(f"{text!r}: the regular expression is wrong: {exc}") from exc
    return matcher


class Silence(msgspec.Struct, kw_only=True, frozen=True):
    """All `matchers` must match; in force from `starts_at` (included) to `ends_at` (not)."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str = ""
    comment: str = ""

    def mutes(self, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether it holds an alert with these labels back now."""
        return self.starts_at <= now < self.ends_at and all(m.matches(labels) for m in self.matchers)
