"""When a correlation is decided, as `rules explain` says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.rules.load import load
from tocsin.rules.tools.facts import facts_of

WINDOW = "when the window closes: the timespan after its first event"
PASSED = "when its time is past, as late events may change it"


@pytest.mark.parametrize(
    ("type_", "condition", "told"),
    [
        ("temporal", "one and not two", WINDOW),
        ("temporal", "{lt: 2}", WINDOW),
        ("temporal", "one and two", "as soon as it is true"),
        ("value_sum", "{lt: 2, field: n}", WINDOW),
        ("value_sum", "{gte: 2, field: n}", PASSED),
        ("event_count", "{lt: 2}", "when the count is < 2, decided when the window ends"),
    ],
)
def test_it_says_when_a_correlation_is_decided(tmp_path: Path, type_: str, condition: str, told: str) -> None:
    head = "logsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n---\ntitle: "
    path = tmp_path / "rule.yml"
    path.write_text(
        f"title: one\nname: one\n{head}two\nname: two\n{head}c\ncorrelation: {{type: {type_}, "
        f"rules: [one, two], timespan: 5m, condition: {condition}}}\n"
    )

    (made,) = load([path]).made

    assert dict(facts_of(made))["alerts"] == told
