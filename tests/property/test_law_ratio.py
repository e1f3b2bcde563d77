"""`ratio` against a brute force that divides, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Scored, Seen
from tocsin.rules.correlations import ratio
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Slide
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows

from .law_checks import IN_MEMORY, ON_REDIS, Laws, fresh
from .law_streams import (
    RECORDS,
    SEEDS,
    BruteForce,
    Law,
    Record,
    inside,
)

SELECTIONS = (
    "    failed: {data.type: [fp, fu]}\n"
    "    ok: {data.type: s}\n"
    "    named: {data.client_name: web}\n"
    "    blocked: {data.type: limit_wc}\n"
    "    condition: failed or ok or blocked\n"
)
FAILED, OK, BLOCKED = ("fp", "fu"), ("s",), ("limit_wc",)


def _ratio(of: Sequence[str], over: Sequence[str], records: Sequence[Record], least: int) -> float | None:
    whole = [record for record in records if record["type"] in over]
    part = [record for record in whole if record["type"] in of]
    return len(part) / len(whole) if len(whole) >= least else None


def sliding(
    of: Sequence[str], over: Sequence[str], span: int, least: int, holds: Callable[[float], bool]
) -> BruteForce:
    """True at the time of an event of the whole."""

    def truth(records: Sequence[Record], _end: int) -> dict[int, float]:
        times = {record["at"] for record in records if record["type"] in over}
        found = {at: _ratio(of, over, inside(records, at - span, at), least) for at in times}
        return {at: score for at, score in found.items() if score is not None and holds(score)}

    return truth


def closing(
    of: Sequence[str], over: Sequence[str], span: int, least: int, holds: Callable[[float], bool]
) -> BruteForce:
    """True at the end of windows that the first event of the whole opens."""

    def truth(records: Sequence[Record], end: int) -> dict[int, float]:
        found, after = {}, -1
        times = sorted(record["at"] for record in records if record["type"] in over)
        for at in times:
            if at > after:
                after = at + span
                score = _ratio(of, over, inside(records, at, after), least)
                if after <= end and score is not None and holds(score):
                    found[after] = score
        return found

    return truth


def _named(truth: BruteForce) -> BruteForce:
    return lambda records, end: truth([r for r in records if r["client_name"] in ("web", "WEB")], end)


ALL = (*FAILED, *OK)
LAWS = (
    Law("most", "of: failed, over: failed or ok, timespan: 10s, condition: {gte: 0.6, min_count: 3}",
        sliding(FAILED, ALL, 10, 3, lambda r: r >= 0.6)),
    Law("all", "of: failed, over: failed or ok, timespan: 8s, condition: {gte: 1, min_count: 2}",
        sliding(FAILED, ALL, 8, 2, lambda r: r >= 1)),
    Law("over_half", "of: failed, over: failed or ok, timespan: 12s, condition: {gt: 0.5, min_count: 1}",
        sliding(FAILED, ALL, 12, 1, lambda r: r > 0.5)),
    # Of what is blocked or failed only what failed is part of the whole.
    Law("part_outside", "of: failed or blocked, over: failed or ok, timespan: 9s, "
        "condition: {gte: 0.4, min_count: 2}",
        sliding((*FAILED, *BLOCKED), ALL, 9, 2, lambda r: r >= 0.4)),
    Law("with_a_name", "of: failed and named, over: named, timespan: 15s, "
        "condition: {gte: 0.5, min_count: 2}",
        _named(sliding(FAILED, (*ALL, *BLOCKED), 15, 2, lambda r: r >= 0.5)), by=("ip", "client_name")),
    Law("few", "of: ok, over: failed or ok, timespan: 7s, condition: {lt: 0.5, min_count: 2}",
        closing(OK, ALL, 7, 2, lambda r: r < 0.5)),
    Law("part_outside_closing", "of: ok or blocked, over: failed or ok, timespan: 6s, "
        "condition: {lte: 0.4, min_count: 1}",
        closing((*OK, *BLOCKED), ALL, 6, 1, lambda r: r <= 0.4)),
    Law("middling", "of: ok, over: failed or ok, timespan: 11s, "
        "condition: {gte: 0.3, lte: 0.7, min_count: 2}",
        closing(OK, ALL, 11, 2, lambda r: 0.3 <= r <= 0.7)),
    # Longer than anything is late: what is committed matters still.
    Law("long", "of: failed, over: failed or ok, timespan: 170s, condition: {gte: 0.8, min_count: 10}",
        sliding(FAILED, ALL, 170, 10, lambda r: r >= 0.8)),
    Law("long_closing", "of: ok, over: failed or ok, timespan: 170s, condition: {lt: 0.2, min_count: 10}",
        closing(OK, ALL, 170, 10, lambda r: r < 0.2)),
    Law("whole_tenant", "of: blocked, over: 1 of them, timespan: 5s, condition: {gte: 0.5, min_count: 2}",
        sliding(BLOCKED, (*ALL, *BLOCKED), 5, 2, lambda r: r >= 0.5), by=()),
)  # fmt: skip


SUITE = Laws("ratio", SELECTIONS, LAWS)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return SUITE.rules(tmp_path_factory.mktemp("rules"))


@IN_MEMORY
@given(records=RECORDS, seed=SEEDS)
def test_ratios_in_memory_are_those_of_the_model(rules: RuleSet, records: list[Record], seed: int) -> None:
    SUITE.hold(rules, MemoryWindows(), records, seed)


@ON_REDIS
@given(records=RECORDS, seed=SEEDS)
def test_ratios_on_redis_are_those_of_the_model(
    rules: RuleSet, store: Store, records: list[Record], seed: int
) -> None:
    SUITE.hold(rules, fresh(store), records, seed)


@pytest.mark.parametrize("seed", range(3))
def test_ratios_of_a_long_stream_are_exact_while_state_expires(
    rules: RuleSet, store: Store, seed: int
) -> None:
    SUITE.hold_as_state_expires(rules, store, seed)


# The tests of the tests: each of these mistakes must be found.


def _all_count(batch: Sequence[Seen]) -> list[Seen]:
    return [seen._replace(value=seen.value | 2) for seen in batch]


def _replaced(batch: Sequence[Seen]) -> list[Seen]:
    return [seen for seen in {seen[:2]: seen for seen in batch}.values() if seen.value & 2]


class _Shorter(Slide):
    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return super().__call__(members, span_ms - 1, from_ms, until_ms)


class _OneMore(ratio._Part):
    def __init__(self, least: int, values: Sequence[int]) -> None:
        super().__init__(least + 1, values)


MISTAKES = {
    "what is not of the whole counts": ("_counted", _all_count),
    "an event in both is the later one": ("_counted", _replaced),
    "an event without its id": ("event_name", lambda text: sum(map(ord, text)) % 7),
    "a window that is too short": ("Slide", _Shorter),
    "one more event is needed": ("_Part", _OneMore),
}  # fmt: skip


def test_the_control_without_a_mistake_passes(rules: RuleSet) -> None:
    assert not SUITE.find_a_mistake(rules)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    name, planted = MISTAKES[mistake]
    monkeypatch.setattr(ratio, name, planted)

    assert SUITE.find_a_mistake(SUITE.rules(tmp_path))
