"""The names of counted values. Values come again and again, and making a name costs a microsecond."""

from __future__ import annotations

from functools import lru_cache

from tocsin.model.ledger import digest

_REMEMBERED = 50_000
_LONGEST = 256  # characters of what is remembered: strangers write them

_known = lru_cache(_REMEMBERED)(digest)


def named(value: str) -> int:
    """The 64 bits that stand for a value, as `digest` makes them."""
    return _known(value) if len(value) <= _LONGEST else digest(value)
