"""A hot key with thousands of members costs no more an event than one with hundreds (section 4 of the rules).

Counted are the lines of Python that run, which no other process disturbs. The types that are not here
walk their window once a batch, however few of its events are new.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Ledger, Scored, Seen

BASE_MS = 1_700_000_000_000
STEP_MS = 10
LATENESS_MS = 1_000
HEAD = (
    "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, ok: {type: s}, condition: s or ok}\n"
)
TYPES = {
    "shape": "timespan: 1h, per: data.n, condition: {events: {gte: 5}}",
    "spike": "bucket: 1h, baseline: {method: ewma}, condition: {times: 3, min_count: 2}",
    "geo_velocity": "lat: data.n, lon: data.m, condition: {kmh: 900}",
    "absence": "timespan: 1h",
}


def _lines_of(work: Callable[[], object]) -> int:
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def _seen(number: int) -> Seen:
    return Seen(BASE_MS + number * STEP_MS, number * 7_919, 3)


def _median_lines(ledger: Ledger, held: int) -> int:
    """Of the next events of a group that holds so many, each a batch of its own, as the service does it."""
    ledger.observe([_seen(number) for number in range(held)], BASE_MS)

    def one_more(number: int) -> Sequence[Scored]:
        watermark_ms = BASE_MS + number * STEP_MS - LATENESS_MS
        ledger.observe([_seen(number)], watermark_ms - STEP_MS)
        return ledger.due(watermark_ms, watermark_ms - STEP_MS)

    costs = sorted(_lines_of(lambda at=number: one_more(at)) for number in range(held, held + 21))  # type: ignore[misc]
    return costs[len(costs) // 2]


@pytest.mark.parametrize("kind", TYPES)
def test_one_more_event_costs_no_more_in_a_group_of_thousands(
    load_text: Callable[..., RuleSet], kind: str
) -> None:
    text = f"{HEAD}tocsin: {{correlate: {{type: {kind}, group-by: [data.ip], {TYPES[kind]}}}}}\n"
    (correlation,) = [rule.correlation for rule in load_text(text).rules if rule.correlation]
    spec = correlation.spec
    assert spec.ledger

    few = _median_lines(spec.ledger(None, spec.keep), 200)
    many = _median_lines(spec.ledger(None, spec.keep), 5_000)

    assert many <= 2 * few + 60
