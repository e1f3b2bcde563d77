"""The modifiers that change a rule's text before it is compared: windash, utf16…, wide, base64, base64offset.

They apply in the order they are written. What a charset makes is text again, a character for each byte.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import product

from tocsin.rules.detection.patterns import DASHES, Pattern, Wild, literal_of, tidy, with_windows_dashes

MOST_DASHES = 3  # that windash spells out; each is five texts
_CHARSETS = {"utf16le": "utf-16-le", "wide": "utf-16-le", "utf16be": "utf-16-be", "utf16": "utf-16-le"}
_BOM = {"utf16": "\xff\xfe"}
# How many characters of each end depend on the neighbouring bytes, per offset within three bytes.
_CUT_BEFORE = (0, 2, 3)
_CUT_AFTER = (None, -3, -2)


def transformed(pattern: Pattern, transforms: Sequence[str]) -> list[Pattern]:
    """The patterns to look for; several for `base64offset`, one for each place within three bytes.

    Raises:
        ValueError: with a message and the way out.
    """
    found, octets = [pattern], False
    for name in transforms:
        if name == "windash":
            found = [with_windows_dashes(one) for one in found]
            continue
        found = [spelled for one in found for spelled in _without_dashes(one, name)]
        if name in _CHARSETS:
            found, octets = [_in_charset(one, name) for one in found], True
        else:
            charset = "latin-1" if octets else "utf-8"
            found, octets = [text for one in found for text in _in_base64(one, name, charset)], False
    return found


def _without_dashes(pattern: Pattern, before: str) -> Iterator[Pattern]:
    """The pattern with each dash of windash spelled out, for only text can be encoded."""
    dashes = pattern.count(Wild.DASH)
    if dashes > MOST_DASHES:
        raise ValueError(
            f'"windash" before "{before}" spells out three dashes at most, not {dashes}; split the text'
        )
    for chosen in product(DASHES, repeat=dashes):
        left = iter(chosen)
        yield tidy([next(left) if part is Wild.DASH else part for part in pattern])


def _in_charset(pattern: Pattern, name: str) -> Pattern:
    charset = _CHARSETS[name]
    encoded = [
        part.encode(charset, "surrogatepass").decode("latin-1") if isinstance(part, str) else part
        for part in pattern
    ]
    return tidy([_BOM.get(name, ""), *encoded])


def _in_base64(pattern: Pattern, name: str, charset: str) -> Iterator[Pattern]:
    text = literal_of(pattern)
    if text is None:
        raise ValueError(f'"{name}" encodes plain text; escape or remove the wildcard')
    data = text.encode(charset, "replace")
    if name == "base64":
        yield tidy([base64.b64encode(data).decode()])
        return
    for offset in range(3):
        encoded = base64.b64encode(b" " * offset + data).decode()
        yield tidy([encoded[_CUT_BEFORE[offset] : _CUT_AFTER[(len(data) + offset) % 3]]])
