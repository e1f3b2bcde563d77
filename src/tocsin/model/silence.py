"""A silence: alerts that match it are not told to anybody until it ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
import re2

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
                return _fullmatch(self.value)(actual) is not None
            case _:
                return _fullmatch(self.value)(actual) is None

    def __str__(self) -> str:
        """As it is written in a file."""
        return f'{self.label}{self.operator}"{self.value}"'


_QUIET = re2.Options()
_QUIET.log_errors = False


@lru_cache(maxsize=1024)
def _fullmatch(pattern: str) -> Callable[[str], object]:
    """RE2, whose time is linear: label values are written by attackers."""
    fullmatch: Callable[[str], object] = re2.compile(pattern, _QUIET).fullmatch
    return fullmatch


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
            _fullmatch(value)
        except re2.error as exc:
            reason = exc.args[0].decode(errors="replace") if isinstance(exc.args[0], bytes) else str(exc)
            raise ValueError(f"{text!r}: the regular expression is wrong: {reason}") from exc
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
