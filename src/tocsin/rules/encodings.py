"""The modifiers that encode a rule's text before it is compared: utf16…, wide, base64, base64offset."""

from __future__ import annotations

import base64

_CHARSETS = {"utf16le": "utf-16-le", "wide": "utf-16-le", "utf16be": "utf-16-be", "utf16": "utf-16"}
# How many characters of each end depend on the neighbouring bytes, per offset within three bytes.
_CUT_BEFORE = (0, 2, 3)
_CUT_AFTER = (None, -3, -2)


def encoded(text: str, transforms: tuple[str, ...]) -> tuple[str, ...]:
    """The texts to look for; several for `base64offset`, one for each place within three bytes."""
    found = [text.encode()]
    for name in transforms:
        if name in _CHARSETS:
            charset = _CHARSETS[name]
            bom = b"\xff\xfe" if name == "utf16" else b""
            charset = "utf-16-le" if name == "utf16" else charset
            found = [bom + part.decode().encode(charset) for part in found]
        elif name == "base64":
            found = [base64.b64encode(part) for part in found]
        elif name == "base64offset":
            found = [_at_offset(part, offset) for part in found for offset in range(3)]
    return tuple(part.decode("latin-1") if b"\0" in part else part.decode(errors="replace") for part in found)


def _at_offset(data: bytes, offset: int) -> bytes:
    encoded_ = base64.b64encode(b" " * offset + data)
    return encoded_[_CUT_BEFORE[offset] : _CUT_AFTER[(len(data) + offset) % 3]]
