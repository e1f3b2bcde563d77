"""What keeps a rule's windows over a reload and what begins them anew (rule language; reliability F19)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tocsin.model.compiled import RuleSet

LoadText = Callable[..., RuleSet]

RULE = """\
title: both
id: both-id
level: low
correlation:
    type: value_count
    rules: [base, other]
    aliases: {who: {base: data.user_name, other: data.details.name}}
    group-by: [who, data.ip]
    timespan: 1h
    condition: {gte: 5, field: data.client_id}
tocsin:
    params: {n: {set: correlation.condition.gte, min: 2, max: 90}}
    alert: {title: many, severity: [{gte: 50, is: high}], context: [data.user_agent]}
---
title: base
name: base
logsource: {product: auth0}
detection: {s: {type: fp, data.u: x}, t: {type: fu}, condition: s or t}
---
title: other
name: other
logsource: {product: auth0}
detection: {s: {type: s}, condition: s}
"""
FILTER = """\
---
title: not the office
logsource: {product: auth0}
filter: {rules: [base], office: {data.ip: 192.0.2.1}, condition: not office}
"""


def _state(load_text: LoadText, text: str) -> str:
    (correlation,) = [rule.correlation for rule in load_text(text).rules if rule.correlation]
    return correlation.spec.state


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gte: 5", "gte: 50"),
        ("max: 90", "max: 900"),
        ("gte: 50, is: high", "gte: 500, is: critical"),
        ("title: both", "title: another"),
        ("level: low", "level: critical"),
        ("title: many", "title: '{{ score }}'"),
        ("context: [data.user_agent]", "context: [data.hostname]"),
        ("title: many", "for: 5m, resolve_after: 9m, labels: {a: b}, runbook: r"),
        ("rules: [base, other]\n", "rules: [base, other]\n    generate: true\n"),
        ("data.u: x", "u: x"),
        ("{s: {type: fp, data.u: x}, t: {type: fu}, condition: s or t}",
         "{first: {data.u: x, type: fp}, condition: second or first, second: {type: [fu]}}"),
        ("timespan: 1h", "timespan: 60m"),
    ],
)  # fmt: skip
def test_what_is_counted_goes_on_when_something_else_changes(load_text: LoadText, old: str, new: str) -> None:
    assert old in RULE
    assert _state(load_text, RULE.replace(old, new)) == _state(load_text, RULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("both-id", "another-id"),
        ("type: value_count", "type: value_sum"),
        ("rules: [base, other]", "rules: [other, base]"),
        ("base: data.user_name", "base: data.user_id"),
        ("[who, data.ip]", "[who]"),
        ("[who, data.ip]", "[data.ip, who]"),
        ("timespan: 1h", "timespan: 61m"),
        ("field: data.client_id", "field: data.user_agent"),
        ("field: data.client_id", "field: [data.client_id, data.user_agent]"),
        ("gte: 5", "gte: 5, lte: 90"),
        ("timespan: 1h", "timespan: 1h\n    allow_missing: true"),
        ("data.u: x", "data.u: y"),
        ("s or t", "s and t"),
        ("s or t", "s or not t"),
        ("product: auth0}\ndetection: {s: {type: s}", "product: frontegg}\ndetection: {s: {type: s}"),
    ],
)
def test_another_selection_group_timespan_or_count_begins_anew(
    load_text: LoadText, old: str, new: str
) -> None:
    assert old in RULE
    assert _state(load_text, RULE.replace(old, new, 1)) != _state(load_text, RULE)


def test_a_filter_is_part_of_the_selection(load_text: LoadText) -> None:
    unrelated = (
        FILTER.replace("[base]", "[spare]")
        + "---\nname: spare\n"
        + RULE.split("---\n")[1].replace("name: base\n", "")
    )

    assert _state(load_text, RULE + FILTER) != _state(load_text, RULE)
    assert _state(load_text, RULE + unrelated) == _state(load_text, RULE)
