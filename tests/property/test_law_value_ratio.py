"""`value_ratio` against a brute force that looks at each value of each window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Scored
from tocsin.rules.correlations import value_ratio, value_ratio_ledger
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Slide
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .law_streams import (
    RECORDS,
    SEEDS,
    BruteForce,
    Law,
    Record,
    as_it_arrives,
    disordered,
    inside,
    long_stream,
    model,
    rules_of,
    text,
    told,
)

FRESH = itertools.count()
SELECTIONS = (
    "    failed: {data.type: [fp, fu]}\n"
    "    ok: {data.type: s}\n"
    "    blocked: {data.type: limit_wc}\n"
    "    condition: failed or ok or blocked\n"
)
FAILED, OK, BLOCKED = ("fp", "fu"), ("s",), ("limit_wc",)


def _ratio(
    of: Sequence[str], without: Sequence[str], window: Sequence[Record], field: Sequence[str], least: int
) -> float | None:
    begins = [record["at"] for record in window if record["type"] in of]
    counted = [record for record in window if begins and record["at"] >= min(begins)]
    values = {_value(record, field) for record in counted}
    others = {_value(record, field) for record in counted if record["type"] in without}
    return len(values - others) / len(values) if len(values) >= max(1, least) else None


def _value(record: Record, field: Sequence[str]) -> tuple[str, ...]:
    return tuple(text(record[name]) for name in field)


def sliding(
    of: Sequence[str],
    without: Sequence[str],
    span: int,
    least: int,
    holds: Callable[[float], bool],
    *,
    field: tuple[str, ...] = ("user_name",),
) -> BruteForce:
    """True at the time of an event of either that has the field."""

    def truth(records: Sequence[Record], _end: int) -> dict[int, float]:
        whole = [r for r in records if r["type"] in (*of, *without) and all(_value(r, field))]
        times = {record["at"] for record in whole}
        found = {at: _ratio(of, without, inside(whole, at - span, at), field, least) for at in times}
        return {at: score for at, score in found.items() if score is not None and holds(score)}

    return truth


LAWS = (
    Law("most", "of: failed, without: ok, timespan: 10s, "
        "condition: {field: data.user_name, gte: 0.6, min_count: 2}",
        sliding(FAILED, OK, 10, 2, lambda r: r >= 0.6)),
    Law("all", "of: failed, without: ok, timespan: 8s, "
        "condition: {field: data.user_name, gte: 1, min_count: 2}",
        sliding(FAILED, OK, 8, 2, lambda r: r >= 1)),
    Law("over_a_third", "of: failed, without: ok, timespan: 12s, "
        "condition: {field: data.user_name, gt: 0.34, min_count: 1}",
        sliding(FAILED, OK, 12, 1, lambda r: r > 0.34)),
    # What failed is both.
    Law("overlapping", "of: failed or blocked, without: failed or ok, timespan: 9s, "
        "condition: {field: data.user_name, gte: 0.4, min_count: 2}",
        sliding((*FAILED, *BLOCKED), (*FAILED, *OK), 9, 2, lambda r: r >= 0.4)),
    Law("pairs", "of: failed, without: ok, timespan: 15s, "
        "condition: {field: [data.user_name, data.client_name], gte: 0.5, min_count: 3}",
        sliding(FAILED, OK, 15, 3, lambda r: r >= 0.5, field=("user_name", "client_name"))),
    # Longer than anything is late: what is committed matters still.
    Law("long", "of: failed, without: ok, timespan: 170s, "
        "condition: {field: data.user_name, gte: 0.2, min_count: 3}",
        sliding(FAILED, OK, 170, 3, lambda r: r >= 0.2)),
    Law("rare_part", "of: blocked, without: failed or ok, timespan: 20s, "
        "condition: {field: data.user_name, gte: 0.3, min_count: 2}",
        sliding(BLOCKED, (*FAILED, *OK), 20, 2, lambda r: r >= 0.3)),
    Law("whole_tenant", "of: blocked, without: failed or ok, timespan: 5s, "
        "condition: {field: data.user_name, gte: 0.25, min_count: 2}",
        sliding(BLOCKED, (*FAILED, *OK), 5, 2, lambda r: r >= 0.25), by=()),
)  # fmt: skip


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return rules_of("value_ratio", LAWS, SELECTIONS, tmp_path_factory.mktemp("rules"))


@pytest.fixture(params=[1_000, 3])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that are of no more use go late, or as soon as can be."""
    monkeypatch.setattr(value_ratio_ledger, "_MANY", request.param)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, seed=SEEDS)
@pytest.mark.usefixtures("many")
def test_ratios_of_values_in_memory_are_those_of_the_model(
    rules: RuleSet, records: list[Record], seed: int
) -> None:
    assert told(rules, MemoryWindows(), disordered(records, seed), seed) == model(LAWS, records)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, seed=SEEDS)
@pytest.mark.usefixtures("many")
def test_ratios_of_values_on_redis_are_those_of_the_model(
    rules: RuleSet, store: Store, records: list[Record], seed: int
) -> None:
    fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{next(FRESH)}")

    assert told(rules, RedisWindows(fresh), disordered(records, seed), seed) == model(LAWS, records)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("seed", range(3))
def test_ratios_of_values_of_a_long_stream_are_exact_while_state_expires(
    rules: RuleSet, store: Store, seed: int
) -> None:
    records = long_stream(seed)
    batches, expected = as_it_arrives(records, seed), model(LAWS, records)

    assert {name for name, *_ in expected} == {law.name for law in LAWS}  # every rule is tried
    assert told(rules, MemoryWindows(), batches, seed) == expected
    assert told(rules, RedisWindows(store), batches, seed) == expected


# The tests of the tests: each of these mistakes must be found.


def _found(rules: RuleSet) -> bool:
    records = long_stream(1)
    return told(rules, MemoryWindows(), as_it_arrives(records, 1), 1) != model(LAWS, records)


class _Events(value_ratio_ledger._Values):
    """Counts events, not values."""

    def __len__(self) -> int:
        return sum(self._of.values()) + sum(self._others.values())


class _Tried(value_ratio_ledger._Values):
    """Who got in all the same is still of the part."""

    def remove(self, value: int) -> None:
        super().remove(value)
        self.alone = len(self._of)


class _OneMore(value_ratio_ledger._Values):
    """Asks for a value more."""

    def __init__(self, least: int, values: Sequence[int]) -> None:
        super().__init__(least + 1, values)


class _Shorter(Slide):
    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return super().__call__(members, span_ms - 1, from_ms, until_ms)


class _Open(Slide):
    """A window counts from its first member on, whatever that is."""

    def start(self, _members: Members, begin: int, _head: int) -> int:
        return begin


MISTAKES = {
    "who got in before anybody failed counts": (
        value_ratio_ledger, "Slide", _Open,
    ),
    "events are counted": (value_ratio_ledger, "_Values", _Events),
    "who got in is of the part": (value_ratio_ledger, "_Values", _Tried),
    "values with regard to case": (value_ratio, "named", lambda text: hash(text) & 0x1C),
    "a window that is too short": (
        value_ratio_ledger, "Slide", _Shorter,
    ),
    "one more value is needed": (
        value_ratio_ledger, "_Values", _OneMore,
    ),
    "what is of use is forgotten": (
        value_ratio_ledger._ValueRatios, "_forget_repeated",
        lambda self, committed_ms: self._members.drop(self._members.first_at(committed_ms)),
    ),
}  # fmt: skip


@pytest.mark.usefixtures("many")
def test_the_control_without_a_mistake_passes(rules: RuleSet) -> None:
    assert not _found(rules)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.setattr(value_ratio_ledger, "_MANY", 3)
    where, name, planted = MISTAKES[mistake]
    monkeypatch.setattr(where, name, planted)

    assert _found(rules_of("value_ratio", LAWS, SELECTIONS, tmp_path))
