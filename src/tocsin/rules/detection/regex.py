"""Regular expressions of rules: RE2, whose time is linear; `re` only for rules the operator trusts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
MAX_SUBJECT = 64 * 1024  # characters of a value that `re` sees: its time is not linear
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")

Search = Callable[[str], object]


class Refused(NamedTuple):
    """RE2 does not take the pattern, Python would; `reason` says what it holds."""

    reason: str


class Wrong(NamedTuple):
    """Nobody takes the pattern."""

    reason: str


def compile_search(pattern: str, flags: str, *, trusted: bool) -> Search | Refused | Wrong:
    """A search for the pattern anywhere in a text; `flags` are of `i`, `m`, `s`."""
    source = f"(?{flags}){pattern}" if flags else pattern
    try:
        search: Search = re2.compile(source, _OPTIONS).search
    except re2.error as exc:
        refusal = (
            exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        )
    else:
        return search
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slow = re.compile(source)
    except (re.error, OverflowError, RecursionError) as exc:
        return Wrong(str(exc))
    if trusted:
        return lambda text: slow.search(text[:MAX_SUBJECT])
    return Refused("look-around" if _LOOK_AROUND.search(pattern) else refusal)
