"""The types that compute with numbers: what may be written, what is a number, and exact results."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
import statistics
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest

from tocsin import telemetry
from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import RuleSet
from tocsin.rules.correlations.numbers import Total, packed, rounded, unpacked
from tocsin.rules.correlations.value_percentile import Ranked
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

from ..conftest import made_event  # noqa: TID252 - tests have no package name

LoadText = Callable[..., RuleSet]
Mistakes = Callable[..., list[str]]
PERCENTILE = "{gte: 500, field: data.details.elapsed, percentile: 95}"
TYPES = ("value_sum", "value_avg", "value_percentile", "value_median")


def _text(kind: str, condition: str, group: str = "") -> str:
    return (
        "title: t\nname: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        f"tocsin: {{correlate: {{type: {kind}, timespan: 1m, {group}condition: {condition}}}}}\n"
    )


@pytest.mark.parametrize(
    ("kind", "condition", "expected"),
    [
        ("value_sum", "{gte: 3}",
         "64: value_sum computes with the numbers of a field; write {gte: 1000, field: data.details.bytes}"),
        ("value_avg", "{gte: 3, field: [a, b]}",
         "80: value_avg computes with one field; write one, like {gte: 0.8, field: data.details.riskScore}"),
        ("value_median", "{field: a}",
         "67: the condition compares with nothing; write {gte: 500, field: data.details.elapsed}"),
        ("value_median", "{gt: 5, lt: 5, field: a}",
         "67: no number can meet this condition; check its numbers"),
        ("value_sum", "{gte: 1e16, field: a}",
         "70: gte must be from -1000000000000000 to 1000000000000000, not 1e16"),
        ("value_sum", "{gte: many, field: a}", "70: gte must be a number, not 'many'"),
        ("value_percentile", "{gte: 1, field: a}",
         f"71: value_percentile needs a percentile; write {PERCENTILE}"),
        ("value_percentile", "{gte: 1, field: a, percentile: 101}",
         "102: percentile must be from 0 to 100, not 101"),
        ("value_percentile", "{gte: 1, field: a, percentile: -1}",
         "102: percentile must be from 0 to 100, not -1"),
        ("value_percentile", "{gte: 1, field: a, percentile: median}",
         "102: percentile must be a number, not 'median'"),
        ("value_percentile", "5", f"71: condition must be a map, not '5'; write it like {PERCENTILE}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(
    mistakes: Mistakes, kind: str, condition: str, expected: str
) -> None:
    assert mistakes(_text(kind, condition)) == [f"rule.yml:5:{expected}"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_condition_is_needed(mistakes: Mistakes, kind: str) -> None:
    (told,) = mistakes(_text(kind, "").replace(", condition: }", "}"))

    assert told.startswith("rule.yml:5:21: a correlation needs a condition, like {gte: ")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7), (-0.5, -0.5), ("7", 7), ("1e3", 1000), ("-3.50", -3.5), ("07", 7), (2**60, 2.0**60),
        (-0.0, 0), ("-0", 0), ("1e-400", 0),
        (True, None), (None, None), ("", None), ("x", None), ("12 ms", None), ("nan", None), ("inf", None),
        ("1e999", None), (10**400, None), ([1], None), ({"a": 1}, None), ("0x10", None), ("1_000", None),
    ],
)  # fmt: skip
def test_what_is_a_number(value: object, number: float | None) -> None:
    bits = packed(value)

    assert (None if bits is None else unpacked(bits)) == number
    assert bits is None or (-(1 << 63) <= bits < 1 << 63 and str(unpacked(bits)) != "-0.0")


HARD = [0.1, 0.2, 0.3, 1e15, -1e15, 1e-300, 5e-324, -5e-324, 1e308, -1e308, 1 / 3, 2.5, 3.0, -7.25, 0.0]


def _drawn(rng: random.Random) -> list[float]:
    return [
        rng.choice(HARD) if rng.random() < 0.5 else rng.uniform(-1e6, 1e6) for _ in range(rng.randint(1, 60))
    ]


def _windowed(aggregate: Any, numbers: Sequence[float], others: Sequence[float], rng: random.Random) -> float:
    """What the numbers come to, after others came and went in between, and score was asked now and then."""
    steps = [(number, True) for number in numbers] + [(number, True) for number in others]
    rng.shuffle(steps)
    gone = list(others)
    for number, _ in steps:
        aggregate.add(packed(number))
        if rng.random() < 0.3:
            aggregate.score()
    rng.shuffle(gone)
    for number in gone:
        aggregate.remove(packed(number))
    score: float = aggregate.score()
    return score


def test_sums_means_and_medians_are_exact_in_any_order() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        numbers, others = _drawn(rng), _drawn(rng)
        exact = [Fraction(number) for number in numbers]

        total = _windowed(Total(lambda units, _: rounded(units, 1)), numbers, others, rng)
        mean = _windowed(Total(rounded), numbers, others, rng)
        median = _windowed(Ranked(Fraction(1, 2)), numbers, others, rng)

        assert total == max(-sys.float_info.max, min(sys.float_info.max, _as_float(sum(exact))))
        assert mean == float(sum(exact) / len(exact))
        assert median == float(statistics.median(exact))


def _as_float(number: Fraction | int) -> float:
    try:
        return float(number)
    except OverflowError:
        return sys.float_info.max if number > 0 else -sys.float_info.max


@pytest.mark.parametrize(
    ("numbers", "percentile", "expected"),
    [
        ([1], 0, 1), ([1], 99, 1), ([1, 2], 50, 1.5), ([1, 2], 0, 1), ([1, 2], 100, 2),
        ([10, 20, 30, 40], 90, 37),
        ([1, 2, 3, 4, 5], 25, 2), ([1, 1, 1, 9], 66, 1), ([0, 10], 99.9, 9.99), ([0.1, 0.1], 30, 0.1),
    ],
)  # fmt: skip
def test_percentiles_lie_on_the_line_between_neighbours(
    numbers: list[float], percentile: float, expected: float
) -> None:
    ranked = Ranked(Fraction(str(percentile)) / 100)
    for number in numbers:
        ranked.add(packed(number) or 0)

    assert ranked.score() == expected


def test_nothing_comes_to_nothing() -> None:
    assert Total(rounded).score() is None
    assert Ranked(Fraction(1, 2)).score() is None


def test_the_0th_percentile_is_the_least_and_not_the_median(load_text: LoadText) -> None:
    (rule,) = load_text(_text("value_percentile", "{gte: 1, field: n, percentile: 0}")).rules

    assert rule.correlation
    assert _scores(load_text(_text("value_percentile", "{gte: 1, field: n, percentile: 0}")), [1, 5, 9]) == [
        1,
        1,
        1,
    ]


def _scores(ruleset: RuleSet, numbers: Sequence[object]) -> list[float]:
    """The scores at every second, one number at each."""
    engine = Engine(ruleset, MemoryWindows(), MemoryEvidence())
    events = []
    for second, number in enumerate(numbers):
        event = made_event(ruleset, {"type": "fp", "n": number})
        event.id, event.time_ms = f"e{second}", second * 1_000
        events.append(event)
    assert engine.process("acme", events, committed_ms=NEVER_MS) == []  # the watermark decides
    triggers = engine.due("acme", watermark_ms=10_000_000, committed_ms=NEVER_MS)
    return [score for trigger in triggers for _, score in trigger.instants]


def test_events_without_a_number_are_left_out_and_counted(load_text: LoadText) -> None:
    counter = telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule="t")
    before = counter._value.get()

    assert _scores(load_text(_text("value_sum", "{gte: 0, field: n}")), [1, True, None, "x", "2", 0.5]) == [
        1,
        3,
        3.5,
    ]
    assert counter._value.get() - before == 3


def test_a_percentile_is_a_threshold_and_begins_no_new_state(load_text: LoadText) -> None:
    def state(condition: str) -> str:
        (rule,) = load_text(_text("value_percentile", condition).replace("name: t", "name: t\nid: t")).rules
        assert rule.correlation
        return rule.correlation.spec.state

    one = state("{gte: 1, field: n, percentile: 5}")
    assert one == state("{gte: 9, field: n, percentile: 95}")
    assert one != state("{gte: 1, field: m, percentile: 5}")
    assert one != state("{lt: 1, field: n, percentile: 5}")


def test_of_too_many_numbers_the_oldest_go_and_the_score_says_so(load_text: LoadText) -> None:
    ruleset = load_text(_text("value_sum", "{gte: 0, field: n}"))
    engine = Engine(ruleset, MemoryWindows(), MemoryEvidence())
    events = []
    for number in range(10_500):
        event = made_event(ruleset, {"type": "fp", "n": 1})
        event.id, event.time_ms = f"e{number}", number
        events.append(event)
    engine.process("acme", events, committed_ms=0)

    (trigger,) = engine.due("acme", watermark_ms=20_000, committed_ms=0)

    assert (trigger.floor, trigger.sampled) == (False, True)
    assert trigger.instants[-1][0] == 10_499
    assert 8_000 < trigger.instants[-1][1] <= 10_000


def test_a_flood_of_more_than_the_cap_within_the_lateness_is_told_at_once(
    load_text: LoadText,
) -> None:
    ruleset = load_text(_text("value_sum", "{gte: 5000, field: n}"))
    engine = Engine(ruleset, MemoryWindows(), MemoryEvidence())
    triggers = []
    for start in range(0, 30_000, 1_000):  # a thousand a second, and the watermark is a minute behind
        events = []
        for number in range(start, start + 1_000):
            event = made_event(ruleset, {"type": "fp", "n": 1})
            event.id, event.time_ms = f"e{number}", number
            events.append(event)
        triggers += engine.process("acme", events, committed_ms=start - 60_000)

    assert triggers
    assert all(trigger.sampled for trigger in triggers)
    assert max(score for trigger in triggers for _, score in trigger.instants) > 8_000
    told = {at for trigger in triggers for at, _ in trigger.instants}
    assert min(told) < 10_000
    assert told == {*range(min(told), max(told) + 1)}
    assert max(told) > 28_000
