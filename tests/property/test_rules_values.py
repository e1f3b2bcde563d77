"""Text patterns and equality across types against their definition, spelled out naively."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.rules.detection import patterns
from tocsin.rules.detection.leaves import inside, network_of, text_leaf
from tocsin.rules.detection.patterns import folded, matches_any, parse_pattern

LETTERS = "aAbß\n"
texts = st.text(alphabet=LETTERS, max_size=8)
pieces = st.sampled_from(["*", "?", "a", "B", "ab", "ß", "\n", "\\", "\\*", "\\?", "\\\\"])
ends = st.sampled_from(["", "*"])
shaped = st.tuples(ends, st.sampled_from(["a", "ab", "B", "ß"]), ends).map("".join)
pattern_texts = st.lists(pieces, max_size=6).map("".join) | shaped


def tokens(pattern: str) -> list[tuple[str, bool]]:
    """(character, whether it is a wildcard), by Sigma's rules of escaping."""
    found: list[tuple[str, bool]] = []
    at = 0
    while at < len(pattern):
        char, following = pattern[at], pattern[at + 1 : at + 2]
        if char == "\\" and following in ("*", "?", "\\"):
            found.append((following, False))
            at += 1
        elif char == "\\" or char not in "*?":
            found.extend((one, False) for one in char.casefold())
        else:
            found.append((char, True))
        at += 1
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], str]:
    """Patterns, and a text that is any, or made of one of them, or nearly so."""
    some = draw(st.lists(pattern_texts, min_size=1, max_size=3))
    if draw(st.booleans()):
        return some, draw(texts)
    runs, ones = st.text(alphabet="ab\n", max_size=3), st.sampled_from("ab")
    filled = [
        draw(runs if char == "*" else ones) if wild else char
        for char, wild in tokens(draw(st.sampled_from(some)))
    ]
    text = "".join(filled)
    cut = draw(st.integers(0, len(text)))
    return some, text if draw(st.booleans()) else text[:cut] + text[cut + 1 :]


def naive(left: list[tuple[str, bool]], text: str) -> bool:
    if not left:
        return not text
    (char, wild), *rest = left
    if wild and char == "*":
        return any(naive(rest, text[at:]) for at in range(len(text) + 1))
    return bool(text) and (wild or text[0] == char) and naive(rest, text[1:])


def says(pattern_list: list[str], text: str) -> bool:
    test = matches_any(folded(parse_pattern(pattern)) for pattern in pattern_list)
    return text_leaf(test, cased=False, null=False)(text)


def check(pattern_list: list[str], text: str) -> None:
    expected = any(naive(tokens(pattern), text.casefold()) for pattern in pattern_list)
    assert says(pattern_list, text) is expected


@settings(max_examples=1_500, deadline=None)
@given(cases())
def test_a_pattern_matches_what_its_definition_says(case: tuple[list[str], str]) -> None:
    check(*case)


PLANTED: list[tuple[str, Any]] = [
    ("_begins", lambda heads: lambda text: any(head in text for head in heads)),
    ("_ends", lambda tails: lambda text: text.startswith(tails)),
    ("_globbed", lambda pattern: lambda text: True),
    ("_holds", lambda needles: lambda text: text.startswith(needles)),
]


@pytest.mark.parametrize(("name", "mistake"), PLANTED)
def test_the_law_of_patterns_finds_a_planted_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, mistake: Any
) -> None:
    monkeypatch.setattr(patterns, name, mistake)

    @settings(
        max_examples=3_000,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def law(case: tuple[list[str], str]) -> None:
        check(*case)

    with pytest.raises((AssertionError, TypeError)):
        law()


@settings(max_examples=500, deadline=None)
@given(st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6), min_size=1, max_size=4), st.data())
def test_an_address_is_inside_as_the_standard_library_says(some: list[Any], data: st.DataObject) -> None:
    networks = []
    for address in some:
        length = data.draw(st.integers(0, address.max_prefixlen))
        shift = address.max_prefixlen - length
        first = type(address)(int(address) >> shift << shift)
        networks.append(network_of(f"{first}/{length}"))
    asked = data.draw(st.sampled_from(some) | st.ip_addresses())
    mapped = getattr(asked, "ipv4_mapped", None) or asked

    assert inside(networks)(str(asked)) is any(mapped in network for network in networks)
