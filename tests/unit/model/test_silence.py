"""Matchers: what they accept, and that an attacker cannot make them slow."""

from __future__ import annotations

import time

import pytest

from tocsin.model.silence import parse_matcher


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ('severity=~"high|critical"', {"severity": "high"}, True),
        ('severity=~"high|critical"', {"severity": "higher"}, False),
        ('entity!~"ip:10[.].*"', {"entity": "ip:192.0.2.1"}, True),
        ("team=identity", {}, False),
        ('team!=""', {"team": "x"}, True),
        (r'entity=~"user:\w+@example[.]com"', {"entity": "user:ann@example.com"}, True),
    ],
)
def test_a_matcher_matches_the_whole_value(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_matcher(text).matches(labels) is matches


@pytest.mark.parametrize("text", ['a=~"("', 'a=~"(?=x)"', 'a=~"(a)\\1"'])
def test_a_pattern_that_cannot_be_linear_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="the regular expression is wrong: "):
        parse_matcher(text)


def test_no_label_value_makes_a_pattern_slow() -> None:
    matcher = parse_matcher(r'entity=~"user:([a-z]+\.?)+@example.com"')
    began = time.process_time()

    assert not matcher.matches({"entity": "user:" + "a" * 10_000})

    assert time.process_time() - began < 1
