"""Durations as they are written here, and as other tools write them."""

from __future__ import annotations

import re
from functools import lru_cache

from tocsin.clock import MS, parse_duration

_UNITS = {"s": "s", "sec": "s", "second": "s", "m": "m", "min": "m", "minute": "m", "h": "h", "hr": "h"}
_UNITS |= {"hour": "h", "d": "d", "day": "d", "w": "w", "week": "w"}
_WORDED = re.compile(r"(\d{1,9})\s*([a-z]{1,7}?)s?")
_ISO = re.compile(r"p(?:(\d{1,9})(d|w))?(?:t(?:(\d{1,9})(h))?(?:(\d{1,9})(m))?(?:(\d{1,9})(s))?)?")
_LONGEST = 40


def duration_ms(text: str) -> int:
    """A duration like `10m` in milliseconds.

    Raises:
        ValueError: with a message that names the units.
    """
    return _known_ms(text) if len(text) <= _LONGEST else _ms(text)


def _ms(text: str) -> int:
    return parse_duration(text) // MS


_known_ms = lru_cache(maxsize=1_024)(_ms)  # rules name the same few


def duration_meant(text: str) -> str:
    """`10m` for `10min`, `10 minutes`, `PT10M`; `600s` for a bare number; empty where nobody can say."""
    written = text.strip().casefold()
    if len(written) > _LONGEST:
        return ""
    if written.isascii() and written.isdigit():
        return f"{written}s, {written}m or {written}h"
    worded = _WORDED.fullmatch(written)
    if worded is not None and worded[2] in _UNITS:
        return worded[1] + _UNITS[worded[2]]
    iso = _ISO.fullmatch(written)
    return "".join(part for part in iso.groups() if part) if iso is not None else ""
