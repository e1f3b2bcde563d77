"""Which rules a filter narrows: those of its logsource, as Sigma compares logsources."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tocsin.model.compiled import RuleSet

from .conftest import does_match

TEXT = (
    "title: r\nname: one\nlogsource: {{{}}}\ndetection: {{s: {{f: x}}, condition: s}}\n"
    "---\ntitle: filter\nlogsource: {{{}}}\nfilter: {{rules: {}, o: {{g: y}}, condition: not o}}\n"
)
ROWS = [
    ("product: auth0", "product: auth0", True),
    ("product: auth0, service: logs", "product: auth0", True),
    ("product: auth0", "product: Auth0", True),
    ("product: auth0", "product: auth0, service: logs", False),
    ("product: auth0, service: other", "product: auth0, service: logs", False),
    ("product: auth0", "category: authentication", False),
    ("product: auth0, category: authentication", "category: authentication", True),
    ("product: frontegg", "product: auth0", False),
]


@pytest.mark.parametrize("rules", ["any", "Any", "[one]"])
@pytest.mark.parametrize(("of_rule", "of_filter", "narrows"), ROWS)
def test_a_filter_narrows_rules_of_its_logsource(
    load_text: Callable[..., RuleSet], rules: str, of_rule: str, of_filter: str, narrows: bool
) -> None:
    ruleset = load_text(TEXT.format(of_rule, of_filter, rules))

    [rule] = ruleset.rules
    assert ("g" in ruleset.fields) is narrows
    told = any("so it changes nothing there" in str(warning) for warning in ruleset.warnings)
    assert told is (not narrows and rules == "[one]")
    assert rule.rule.name == "one"


@pytest.mark.parametrize("logsource", ["{product: auth0}", "{}"])
def test_a_filter_that_names_a_correlation_is_told_what_filters_narrow(
    load_text: Callable[..., RuleSet], logsource: str
) -> None:
    counting = "correlation: {type: event_count, rules: [one], timespan: 1m, condition: {gte: 2}}"
    text = TEXT.format("product: auth0", "product: auth0", "[c]").replace(
        "logsource: {product: auth0}\nfilter", f"logsource: {logsource}\nfilter"
    )

    [warning] = load_text(f"{text}---\ntitle: c\nname: c\n{counting}\n").warnings

    assert warning.message == (
        '"c" is a correlation, and a filter narrows detections alone, so it changes nothing there; '
        "name the rules that it counts"
    )


@pytest.mark.parametrize(
    "condition",
    [
        "not(o)",
        "(not o)",
        "NOT o",
        "(not o) and (not o)",
        "((not o)) or not o",
        "not 1 of o*",
        "[not o, not(o)]",
    ],
)
def test_a_filter_begins_with_not_however_it_is_written(
    load_text: Callable[..., RuleSet], condition: str
) -> None:
    text = TEXT.format("product: auth0", "product: auth0", "any")
    ruleset = load_text(text.replace("condition: not o", f"condition: {condition}"))

    assert [does_match(ruleset, {"type": "s", "f": "x", "g": value}) for value in "yz"] == [False, True]
