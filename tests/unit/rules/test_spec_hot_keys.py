"""A hot key with thousands of members costs no more an event than one with hundreds (section 4 of the rules).

Counted are the lines of Python that run, which no other process disturbs.
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
EVENTS = 40
LATENESS_MS = 60_000  # all of them may still come late: nothing is settled
HEAD = (
    "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, ok: {type: s}, condition: s or ok}\n"
)
NUMBER = "{gte: 5, field: data.n"
TYPES = {
    "shape": "timespan: 1h, per: data.n, condition: {events: {gte: 5}}",
    "spike": "bucket: 1h, baseline: {method: ewma}, condition: {times: 3, min_count: 2}",
    "geo_velocity": "lat: data.n, lon: data.m, condition: {kmh: 900}",
    "absence": "timespan: 1h",
    "absence after": "timespan: 1h, after: s, without: ok",
    "ratio": "timespan: 1h, of: s, over: s or ok, condition: {gte: 0.5, min_count: 2}",
    "value_ratio": "timespan: 1h, of: s, without: ok, condition: {field: data.n, gte: 0.5, min_count: 2}",
    "value_sum": f"timespan: 1h, condition: {NUMBER}}}",
    "value_avg": f"timespan: 1h, condition: {NUMBER}}}",
    "value_median": f"timespan: 1h, condition: {NUMBER}}}",
    "value_percentile": f"timespan: 1h, condition: {NUMBER}, percentile: 95}}",
    "sequence": "timespan: 1h, steps: [{when: s, at_least: 5}, {when: ok}]",
    "temporal": "timespan: 1h",
    "temporal_ordered": "timespan: 1h",
}
STEPS = ("sequence", "temporal", "temporal_ordered")  # a value is a step, by its place


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


def _seen(number: int, values: Sequence[int]) -> Seen:
    return Seen(BASE_MS + number * STEP_MS, number * 7_919, values[number % len(values)])


def _lines_of_one(ledger: Ledger, held: int, values: Sequence[int]) -> int:
    """Of the next events of a group that holds so many, each a batch of its own, as the service does it."""
    ledger.observe([_seen(number, values) for number in range(held)], BASE_MS)

    def one_more(number: int) -> Sequence[Scored]:
        watermark_ms = BASE_MS + number * STEP_MS - LATENESS_MS
        ledger.observe([_seen(number, values)], watermark_ms - STEP_MS)
        return ledger.due(watermark_ms, watermark_ms - STEP_MS)

    return _lines_of(lambda: [one_more(number) for number in range(held, held + EVENTS)]) // EVENTS


def _text(kind: str) -> str:
    if kind.startswith("temporal"):
        rules = "".join(f"---\nname: {name}\n{HEAD}" for name in "ab")
        correlation = f"{{type: {kind}, rules: [a, b], group-by: [data.ip], {TYPES[kind]}}}"
        return f"title: t\ncorrelation: {correlation}\n{rules}"
    correlate = f"{{type: {kind.split(maxsplit=1)[0]}, group-by: [data.ip], {TYPES[kind]}}}"
    return f"{HEAD}tocsin: {{correlate: {correlate}}}\n"


@pytest.mark.parametrize("kind", TYPES)
def test_one_more_event_costs_no_more_in_a_group_of_thousands(
    load_text: Callable[..., RuleSet], kind: str
) -> None:
    (correlation,) = [rule.correlation for rule in load_text(_text(kind)).rules if rule.correlation]
    spec = correlation.spec
    assert spec.ledger
    values = (0, 1) if kind in STEPS else (3,)

    few = _lines_of_one(spec.ledger(None, spec.keep), 200, values)
    many = _lines_of_one(spec.ledger(None, spec.keep), 5_000, values)

    assert many <= 2 * few + 60
