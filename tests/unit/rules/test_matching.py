"""Selections against records: values, modifiers, fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tocsin.rules.detection.leaves import searched
from tocsin.rules.detection.regex import compile_search

Detects = Callable[..., bool]

NESTED = {
    "type": "x",
    "a": [{"x": 1, "y": 9}, {"x": 7, "y": 2}, {}],
    "d": {"list": ["One", "two"], "n": None},
}

VALUES: list[tuple[str, dict[str, Any], bool]] = [
    ("s: {u: Alice}", {"u": "aLICE"}, True),
    ("s: {u: Alice}", {"u": "alice "}, False),
    ("s: {u: straße}", {"u": "STRASSE"}, True),
    ("s: {u: 'a*z'}", {"u": "A\nmany\nlines\nZ"}, True),
    ("s: {u: 'a?c'}", {"u": "abc"}, True),
    ("s: {u: 'a?c'}", {"u": "ac"}, False),
    (r"s: {u: 'a\*c'}", {"u": "a*c"}, True),
    (r"s: {u: 'a\*c'}", {"u": "abc"}, False),
    (r"s: {u: 'a\?c'}", {"u": "a?c"}, True),
    (r"s: {u: 'a\\*'}", {"u": "a\\bc"}, True),
    (r"s: {u: 'C:\dir\*'}", {"u": "c:\\dir*"}, True),
    (r"s: {u: 'C:\dir'}", {"u": "C:\\DIR"}, True),
    ("s: {u: 'a*b*a'}", {"u": "aba"}, True),
    ("s: {u: 'ab*ba'}", {"u": "aba"}, False),
    ("s: {u: '*a?c*e*'}", {"u": "xxabcxxe"}, True),
    ("s: {u: '*'}", {"u": ""}, True),
    ("s: {u: '*'}", {}, False),
    ("s: {u: '?*'}", {"u": ""}, False),
    ("s: {u: null}", {}, True),
    ("s: {u: null}", {"u": None}, True),
    ("s: {u: null}", {"u": ""}, False),
    ("s: {u: }", {"u": "x"}, False),
    ("s: {u: ''}", {"u": ""}, True),
    ("s: {u: ''}", {"u": None}, False),
    ("s: {u: [x, null]}", {}, True),
    ("s: {u: 'false'}", {"u": False}, True),
    ("s: {u: false}", {"u": "FALSE"}, True),
    ("s: {u: true}", {"u": 1}, False),
    ("s: {u: 1}", {"u": True}, False),
    ("s: {u: 1}", {"u": 1.0}, True),
    ("s: {u: 4625}", {"u": "4625"}, True),
    ("s: {u: '4625'}", {"u": 4625}, True),
    ("s: {u: '46*'}", {"u": 4625}, True),
    ("s: {u: 1.50}", {"u": 1.5}, True),
    ("s: {u: off}", {"u": "off"}, True),
    ("s: {u: no}", {"u": False}, False),
    ("s: {u: 1:30}", {"u": "1:30"}, True),
    ("s: {u: 010}", {"u": "010"}, True),
    ("s: {u: 010}", {"u": 10}, True),
    ("s: {u: 010}", {"u": 8}, False),
    ("s: {u: [a, b]}", {"u": "B"}, True),
    ("s: {u: a, v: b}", {"u": "a"}, False),
    ("s: {u: a, v: b}", {"u": "a", "v": "b"}, True),
    ("s: [{u: a}, {v: b}]", {"v": "b"}, True),
    ("s: {u: x}", {"u": {"x": 1}}, False),
]

MODIFIERS: list[tuple[str, dict[str, Any], bool]] = [
    ("s: {u|contains: EVIL}", {"u": "an evil thing"}, True),
    ("s: {u|contains: 'e*l'}", {"u": "an evil thing"}, True),
    ("s: {u|contains|all: [a, b]}", {"u": "xaxbx"}, True),
    ("s: {u|contains|all: [a, b]}", {"u": "xax"}, False),
    ("s: {u|startswith: [a, b]}", {"u": "Bcd"}, True),
    ("s: {u|endswith: '@mail.com'}", {"u": "X@MAIL.com"}, True),
    ("s: {u|endswith: '@mail.com'}", {"u": "x@mail.com.evil"}, False),
    ("s: {u|cased: Alice}", {"u": "alice"}, False),
    ("s: {u|cased: Alice}", {"u": "Alice"}, True),
    ("s: {u|contains|cased: LI}", {"u": "aLice"}, False),
    ("s: {u|exists: true}", {"u": None}, True),
    ("s: {u|exists: true}", {}, False),
    ("s: {u|exists: false}", {}, True),
    ("s: {d.n|exists: true}", NESTED, True),
    ("s: {d.m|exists: true}", NESTED, False),
    ("s: {u|neq: a}", {}, True),
    ("s: {u|neq: a}", {"u": "A"}, False),
    ("s: {u|neq: [a, b]}", {"u": "b"}, False),
    ("s: {u|neq: [a, b]}", {"u": "c"}, True),
    ("s: {u|re: '^a.c$'}", {"u": "abc"}, True),
    ("s: {u|re: 'b'}", {"u": "abc"}, True),
    ("s: {u|re: 'B'}", {"u": "abc"}, False),
    ("s: {u|re|i: 'B'}", {"u": "abc"}, True),
    ("s: {u|re: '^b'}", {"u": "a\nb"}, False),
    ("s: {u|re|m: '^b'}", {"u": "a\nb"}, True),
    ("s: {u|re: 'a.b'}", {"u": "a\nb"}, False),
    ("s: {u|re|s: 'a.b'}", {"u": "a\nb"}, True),
    ("s: {u|re: '^46'}", {"u": 4625}, True),
    ("s: {u|cidr: 192.0.2.0/24}", {"u": "192.0.2.77"}, True),
    ("s: {u|cidr: 192.0.2.0/24}", {"u": "192.0.3.77"}, False),
    ("s: {u|cidr: 192.0.2.0/24}", {"u": "::ffff:192.0.2.77"}, True),
    ("s: {u|cidr: '::ffff:192.0.2.0/120'}", {"u": "192.0.2.77"}, True),
    ("s: {u|cidr: '2001:db8::/32'}", {"u": "2001:DB8::1"}, True),
    ("s: {u|cidr: 0.0.0.0/0}", {"u": "2001:db8::1"}, False),
    ("s: {u|cidr: 192.0.2.1}", {"u": "192.0.2.1"}, True),
    ("s: {u|cidr: 192.0.2.0/24}", {"u": "no address"}, False),
    ("s: {u|lt: 5}", {"u": 4}, True),
    ("s: {u|lt: 5}", {"u": "4.5"}, True),
    ("s: {u|lte: 5}", {"u": 5}, True),
    ("s: {u|gt: 5}", {"u": 5}, False),
    ("s: {u|gt: 9007199254740992}", {"u": 9007199254740993}, True),
    ("s: {u|gt: 9007199254740992}", {"u": "9007199254740993"}, True),
    ("s: {u|gt: 9007199254740992}", {"u": "+9007199254740993"}, True),
    ("s: {u|gt: '9007199254740992'}", {"u": "9007199254740992"}, False),
    ("s: {u|gt: '9007199254740992'}", {"u": "9007199254740993"}, True),
    ("s: {u|lt: -9007199254740992}", {"u": "-9007199254740993"}, True),
    ("s: {u|gte: 5}", {"u": "5"}, True),
    ("s: {u|gte: 0}", {"u": True}, False),
    ("s: {u|gte: 0}", {"u": "nan"}, False),
    ("s: {u|gte: 0}", {}, False),
    ("s: {u|fieldref: v}", {"u": "A", "v": "a"}, True),
    ("s: {u|fieldref: v}", {"u": "A", "v": "b"}, False),
    ("s: {u|fieldref: v}", {}, False),
    (
        "s: {u|fieldref: v}",
        {"u": [f"a{n}" for n in range(9_999)], "v": [f"b{n}" for n in range(9_999)]},
        False,
    ),
    ("s: {u|fieldref|startswith: v}", {"u": ["xa", "ab"], "v": ["b", "a"]}, True),
    ("s: {u|fieldref|startswith: v}", {"u": ["xa", "xb"], "v": ["b", "a"]}, False),
    ("s: {u|fieldref|startswith: v}", {"u": "a"}, False),
    ("s: {u|fieldref|endswith: [v, w]}", {"u": ["xa"], "v": ["b"], "w": "A"}, True),
    ("s: {u|fieldref|endswith: v}", {"u": ["ax"], "v": ["b", "a"]}, False),
    ("s: {u|fieldref|contains: v}", {"u": "xAx", "v": "a"}, True),
    ("s: {u|windash|contains: ' -f'}", {"u": "cmd /f x"}, True),
    ("s: {u|windash|contains: ' -f'}", {"u": "cmd –f x"}, True),
    ("s: {u|windash|contains: ' -f'}", {"u": "cmd f x"}, False),
    ("s: {u|base64: foo}", {"u": "Zm9v"}, True),
    ("s: {u|base64offset|contains: foobar}", {"u": "eHhmb29iYXI="}, True),
    ("s: {u|base64offset|contains: foobar}", {"u": "Zm9vYmFy"}, True),
    ("s: {u|wide|base64: ping}", {"u": "cABpAG4AZwA="}, True),
    ("s: {u|utf16|base64: a}", {"u": "//5hAA=="}, True),
    ("s: {u|utf16be|base64: a}", {"u": "AGE="}, True),
    ("s: {u|hour: 3}", {"u": "2025-01-05T03:59:59.999Z"}, True),
    ("s: {u|hour|gte: 22}", {"u": "2025-01-05T23:00:00+02:00"}, False),
    ("s: {u|minute: 59}", {"u": "2025-01-05T03:59:59Z"}, True),
    ("s: {u|day: 5}", {"u": "2025-01-05"}, True),
    ("s: {u|week: 1}", {"u": "2025-01-05"}, True),
    ("s: {u|month: 1}", {"u": 1736046000000}, True),
    ("s: {u|year: 2025}", {"u": 1736046000}, True),
    ("s: {u|year: 2025}", {"u": "soon"}, False),
]

FIELDS: list[tuple[str, dict[str, Any], bool]] = [
    ("s: {data.u: x}", {"u": "x"}, True),
    ("s: {u: x}", {"log_id": "1", "type": "s", "data": {"u": "y"}, "u": "x"}, True),
    ("s: {d.k: x}", {"d.k": "x", "d": {"k": "y"}}, True),
    ("s: {d.k: y}", {"d.k": "x", "d": {"k": "y"}}, False),
    ("s: {data.d.k: y}", {"d": {"k": "y"}}, True),
    ("s: {a.x: 7}", NESTED, True),
    ("s: {a.x: 1, a.y: 2}", NESTED, True),
    ("s: {a.x: 3}", NESTED, False),
    ("s: {a.x: null}", NESTED, True),
    ("s: {'d.list{}': TWO}", NESTED, True),
    ("s: {d.list: one}", NESTED, True),
    ("s: {d.list.x: one}", NESTED, False),
    ("s: {u: two}", {"u": ["one", ["two"]]}, True),
    ("s: {u: null}", {"u": []}, False),
    ("s: {u.x: null}", {"u": []}, True),
    ("s: {tocsin/x: 1}", {"tocsin/x": 1}, True),
    ("s: {'a\"b': 1}", {'a"b': 1}, True),
    (r"s: {'a\b': 1}", {"a\\b": 1}, True),
    (r's: {"a\tb": 1}', {"a\tb": 1}, True),
    ("s: {'weird-fîeld name²': 1}", {"weird-fîeld name²": 1}, True),
    ("s: [evil, bad]", {"d": {"k": ["so EVIL it is"]}}, True),
    ("s: [evil]", {"evil": "no"}, False),
    ("s: {'|all': [evil, bad]}", {"a": "evil", "b": ["bad"]}, True),
    ("s: {'|all': [evil, bad]}", {"a": "evil"}, False),
    ("s: 403", {"status": 403}, True),
    ("s: [{u: x}, evil]", {"v": "evil"}, True),
]


@pytest.mark.parametrize(("selection", "record", "matches"), VALUES)
def test_a_value_compares_as_the_rule_language_says(
    detects: Detects, selection: str, record: dict[str, Any], matches: bool
) -> None:
    assert detects(selection, {"type": "x", **record}) is matches


@pytest.mark.parametrize(("selection", "record", "matches"), MODIFIERS)
def test_a_modifier_compares_as_sigma_says(
    detects: Detects, selection: str, record: dict[str, Any], matches: bool
) -> None:
    assert detects(selection, {"type": "x", **record}) is matches


@pytest.mark.parametrize(("selection", "record", "matches"), FIELDS)
def test_a_field_is_found_flat_then_by_its_path(
    detects: Detects, selection: str, record: dict[str, Any], matches: bool
) -> None:
    assert detects(selection, {"type": "x", **record}) is matches


@pytest.mark.parametrize("record", [NESTED, {"type": "x", "a": {"x": 7}}, {"type": "x", "a": [[{"x": 7}]]}])
def test_not_means_that_no_member_does(detects: Detects, record: dict[str, Any]) -> None:
    assert not detects("s: {a.x: 7}", record, "not s")


def test_a_hundred_backtracking_traps_end_at_once(detects: Detects) -> None:
    pattern = "*" + "a*" * 40 + "b"

    assert not detects(f"s: {{u: '{pattern}'}}", {"u": "a" * 60_000})


def test_an_expression_that_explodes_elsewhere_is_linear(detects: Detects) -> None:
    assert not detects("s: {u|re: '^(a+)+$'}", {"u": "a" * 60_000 + "!"})


def test_half_a_surrogate_pair_is_searched_like_other_text() -> None:
    search = compile_search("b$", "", trusted=False)

    assert callable(search)
    assert searched(search)("a\ud800b")


CONDITIONS: list[tuple[str, str, bool]] = [
    ("a", "a", True),
    ("a and b", "a", False),
    ("a and b", "ab", True),
    ("a or b", "b", True),
    ("not a", "", True),
    ("not not a", "a", True),
    ("a or b and c", "a", True),
    ("(a or b) and c", "a", False),
    ("not a and b", "b", True),
    ("not (a and b)", "a", True),
    ("1 of x*", "1", True),
    ("1 of x*", "a", False),
    ("any of x*", "2", True),
    ("all of x*", "1", False),
    ("all of x*", "12", True),
    ("not 1 of x*", "a", True),
    ("1 of them", "_", False),
    ("1 of _*", "_", True),
    ("all of them", "abc12", True),
    ("a AND NOT b", "a", True),
    ("[a, b]", "b", True),
]


@pytest.mark.parametrize(("condition", "record", "matches"), CONDITIONS)
def test_a_condition_means_what_sigma_says(
    detects: Detects, condition: str, record: str, matches: bool
) -> None:
    selections = "a: {a: 1}\nb: {b: 1}\nc: {c: 1}\nx1: {x1: 1}\nx2: {x2: 1}\n_y: {y: 1}"
    fields = {"1": "x1", "2": "x2", "_": "y"}
    found = {fields.get(letter, letter): 1 for letter in record}

    assert detects(selections, {"type": "x", **found}, condition) is matches


def test_a_selection_without_a_name_is_one_of_all(detects: Detects) -> None:
    selections = "'': {a: 1}\nb: {b: 1}"

    assert detects(selections, {"type": "x", "a": 1}, "1 of *")
    assert not detects(selections, {"type": "x", "a": 1}, "all of *")
