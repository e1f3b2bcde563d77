"""Modifiers that change a rule's text before it is compared, in the order they are written."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

Detects = Callable[..., bool]
Mistakes = Callable[..., list[str]]

ROWS: list[tuple[str, str, bool]] = [
    ("u|windash|base64: 'x -f'", b64encode(b"x /f").decode(), True),
    ("u|windash|base64: 'x -f'", b64encode("x –f".encode()).decode(), True),
    ("u|windash|base64: 'x -f'", b64encode(b"x f").decode(), False),
    ("u|windash|base64offset|contains: 'net -f'", b64encode(b"xnet /f?").decode(), True),
    ("u|base64|windash: 'x -f'", b64encode(b"x -f").decode(), True),
    ("u|wide: 'a*c'", "a\0bbc\0", True),
    ("u|wide: 'a*c'", "abbc", False),
    ("u|wide|contains: é", "xé\0y", True),
    ("u|utf16be|windash: '-a'", "\0-\0a", True),
    ("u|base64: 5", "NQ==", True),
    ("u|base64: 5", "5", False),
    ("u|base64: true", "dHJ1ZQ==", True),
    ("u|wide|base64|utf16be: a", "\0Y\0Q\0A\0=", True),
    ("u|wide|base64: é", b64encode("é".encode("utf-16-le")).decode(), True),
    ("u|base64: ''", "", True),
]


@pytest.mark.parametrize(("item", "found", "matches"), ROWS)
def test_a_text_is_changed_as_the_modifiers_say(
    detects: Detects, item: str, found: str, matches: bool
) -> None:
    assert detects(f"s: {{{item}}}", {"type": "x", "u": found}) is matches


MISTAKES: list[tuple[str, str]] = [
    ("u|wide|base64: 'a*'", '"base64" encodes plain text; escape or remove the wildcard'),
    ("u|utf16|wide: a", 'the modifiers "utf16" and "wide" exclude each other; keep one'),
    ("u|wide|windash|utf16be: a", 'the modifiers "wide" and "utf16be" exclude each other; keep one'),
    (
        "u|windash|base64: '-a -b -c -d'",
        '"windash" before "base64" spells out three dashes at most, not 4; split the text',
    ),
    ("u|cased: null", 'null has no text for "cased"; write null without a modifier'),
    ("u|fieldref|base64: v", 'the modifier "base64" is for text; it cannot go with "fieldref"'),
    ("u|fieldref: null", '"fieldref" takes the name of a field, not null'),
    ("u|fieldref: [v, '']", "\"fieldref\" takes the name of a field, not ''"),
    ("u|fieldref: 'v*'", "\"fieldref\" takes the name of a field, not 'v*'"),
    ("u|fieldref: true", '"fieldref" takes the name of a field, not true'),
]


@pytest.mark.parametrize(("item", "message"), MISTAKES)
def test_modifiers_that_cannot_change_a_text_so_are_told(mistakes: Mistakes, item: str, message: str) -> None:
    told = mistakes(
        f"title: t\nlogsource: {{product: auth0}}\ndetection:\n    s: {{{item}}}\n    condition: s\n"
    )

    assert [line.split(": ", 1)[1] for line in told] == [message]
