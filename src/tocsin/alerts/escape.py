"""What an attacker wrote, made fit to be read: on one line, visible, of bounded length, not clickable."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

LONGEST_FIELD = 256
_BREAKS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1 controls, what reorders text, what has no width, fillers, tags, and halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]{0,30})://([^\s/?#]*)", re.IGNORECASE)
_DOT = re.compile(r"(?<!\[)\.(?!\])")
_WWW = re.compile(r"\bwww\.(?=\w)", re.IGNORECASE)
_HALF_ENTITY = re.compile(r"&[a-z]{0,3}$")


def clean(text: str, limit: int = LONGEST_FIELD) -> str:
    """One visible line of at most `limit` characters; says how much was cut. A line break shows as ␤."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text.strip()  # Nearly every text, at a tenth of the cost.
    # What is cut off anyway need not be looked at, however long it is.
    head = text[: 4 * limit]
    shown = _UNSEEN.sub("", _BREAKS.sub("␤", head).replace("\t", " ")).strip()
    return cut(shown, limit, beyond=len(text) - len(head))


def clean_lines(text: str, limit: int) -> str:
    """As `clean`, with the line breaks kept: for text out of rule files, never for an event's."""
    lines = (_UNSEEN.sub("", line.replace("\t", " ")).rstrip() for line in _BREAKS.split(text[: 4 * limit]))
    return cut("\n".join(lines).strip("\n"), limit, beyond=max(0, len(text) - 4 * limit))


def cut(text: str, limit: int, *, beyond: int = 0) -> str:
    """The text, or its beginning and how many characters are missing; never longer than `limit`.

    `beyond` characters were cut off before.
    """
    if len(text) <= limit and not beyond:
        return text
    room = max(0, limit - len(f"… (+{len(text) + beyond})"))
    kept = text[:room]
    return f"{kept}… (+{len(text) + beyond - len(kept)})"[:limit]


def defang(text: str) -> str:
    """URLs that nobody can click by mistake: `hxxps://evil[.]example/path`."""
    dead = _URL.sub(lambda found: f"{_dead_scheme(found[1])}://{_DOT.sub('[.]', found[2])}", text)
    return _WWW.sub("www[.]", dead)


def _dead_scheme(scheme: str) -> str:
    if scheme.lower().startswith(("http", "hxxp")):
        return "hxxp" + scheme[4:].lower()
    return f"{scheme}[:]"


def for_slack(text: str) -> str:
    """Escaped as Slack asks (`& < >`); a backtick cannot end the code it stands in."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def cut_mrkdwn(text: str, limit: int) -> str:
    """As `cut`, for escaped Slack text: no half entity, no open code span."""
    if len(text) <= limit:
        return text
    note = f"… (+{len(text)} characters)"
    kept = _HALF_ENTITY.sub("", text[: limit - len(note) - 1])
    closed = kept + "`" * (kept.count("`") % 2)
    return f"{closed}… (+{len(text) - len(kept)} characters)"


def each_text(value: Any, change: Callable[[str], str], *, keep: Collection[str] = ()) -> Any:
    """Plain data with every text in it changed; not the keys of mappings, nor what is under one of `keep`."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {
            key: item if key in keep else each_text(item, change, keep=keep) for key, item in value.items()
        }
    if isinstance(value, list):
        return [each_text(item, change, keep=keep) for item in value]
    return value
