"""Keys of a correlation's condition that say nothing, or nothing to its type."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tocsin.model.compiled import RuleSet

RULE = (
    "title: b\nname: b\nlogsource: {{product: auth0}}\ndetection: {{s: {{type: fp}}, condition: s}}\n"
    "---\ntitle: t\ncorrelation: {{type: {}, rules: [b, b], timespan: 5m, condition: {}}}\n"
)

MISTAKES = [
    ("event_count", "{gte: null}", "gte must be a number; write one, or remove it"),
    ("value_count", "{gte: null, lt: 4, field: x}", "gte must be a number; write one, or remove it"),
    ("temporal", "{lt: }", "lt must be a number; write one, or remove it"),
    ("value_avg", "{gte: ~, field: x}", "gte must be a number; write one, or remove it"),
    (
        "value_count",
        "{gte: 4, field: ''}",
        "field must not be empty; write one, like {gte: 10, field: data.user_name}",
    ),
    (
        "value_count",
        "{gte: 4, field: [a, '']}",
        "field must not be empty; write one, like {gte: 10, field: data.user_name}",
    ),
    (
        "value_sum",
        "{gte: 4, field: ''}",
        "field must not be empty; write one, like {gte: 1000, field: data.details.bytes}",
    ),
]


@pytest.mark.parametrize(("kind", "condition", "message"), MISTAKES)
def test_a_key_that_says_nothing_is_told(
    mistakes: Callable[..., list[str]], kind: str, condition: str, message: str
) -> None:
    told = mistakes(RULE.format(kind, condition))

    assert [line.split(": ", 1)[1] for line in told] == [message]


IGNORED = [
    ("event_count", "{gte: 1, percentile: 50}"),
    ("value_count", "{gte: 1, field: x, percentile: 50}"),
    ("temporal", "{gte: 1, percentile: 50}"),
    ("temporal_ordered", "{gte: 2, percentile: 50}"),
    ("value_median", "{gte: 1, field: x, percentile: 50}"),
]


@pytest.mark.parametrize(("kind", "condition"), IGNORED)
def test_a_percentile_that_the_type_does_not_read_is_warned_of(
    load_text: Callable[..., RuleSet], kind: str, condition: str
) -> None:
    warnings = [str(warning) for warning in load_text(RULE.format(kind, condition)).warnings]

    assert any(f"{kind} ignores percentile; use value_percentile" in warning for warning in warnings)
