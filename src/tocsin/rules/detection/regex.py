"""Regular expressions of rules: RE2, whose time is linear; `re` only for rules the operator trusts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
# What RE2 knows and Python does not: classes of Unicode, and the end of the text.
_ONLY_RE2 = re.compile(r"\\(?:[pP](?:\{\^?\w+\}|[A-Z])|z)|\\.", re.DOTALL)
_UNKNOWN_CLASS = "invalid character class"
MAX_SUBJECT = 64 * 1024  # characters of a value that `re` sees: its time is not linear
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")

Search = Callable[[str], object]


class Refused(NamedTuple):
    """RE2 does not take the pattern, Python would; `reason` says what it holds."""

    reason: str


class Wrong(NamedTuple):
    """Nobody takes the pattern. `way_out` is empty where it is the usual one."""

    reason: str
    way_out: str = ""


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
    refused = Refused("look-around" if _LOOK_AROUND.search(pattern) else refusal)
    slow = _slow(source)
    if isinstance(slow, Wrong):
        known = _ONLY_RE2.sub(_told_to_python, source)
        if refusal.startswith(_UNKNOWN_CLASS) and known != source:
            return Wrong(refusal, r"write a class that RE2 knows, like \p{L}")
        if known == source:
            return slow
        wrong = _slow(known)
        if isinstance(wrong, Wrong):
            return wrong
        # It is a pattern of RE2's, but for what RE2 refuses.
        either = f"RE2 refuses it ({refused.reason}), and so does Python's re ({slow.reason})"
        return Wrong(either, "write it for one of them") if trusted else refused
    return (lambda text: slow.search(text[:MAX_SUBJECT])) if trusted else refused


def _slow(source: str) -> re.Pattern[str] | Wrong:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(source)
    except (re.error, OverflowError, RecursionError) as exc:
        return Wrong(str(exc))


def _told_to_python(found: re.Match[str]) -> str:
    """What Python would read in place of an escape that only RE2 knows."""
    escape = found[0]
    return {"p": r"\w", "P": r"\w", "z": r"\Z"}.get(escape[1], escape)
