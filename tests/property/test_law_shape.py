"""`shape` against a brute force that counts the events of each value, window by window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Scored
from tocsin.rules.correlations import shape as module
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.shape_condition import Form
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
    text,
)

SELECTIONS = "    failed: {data.type: [fp, fu]}\n    condition: failed\n"


def shape(
    span: int,
    fits: Callable[[int, Sequence[int]], bool],
    *,
    per: Sequence[str] = ("user_name",),
    scores_values: bool = True,
) -> BruteForce:
    """True at the time of an event; `fits` sees how many events there are, and how many of each value."""

    def truth(records: Sequence[Record], _end: int) -> dict[int, float]:
        failed = [record for record in records if record["type"] in ("fp", "fu")]
        named = [record for record in failed if all(text(record[name]) for name in per)]
        found = {}
        for at in {record["at"] for record in named}:
            window = inside(named, at - span, at)
            each = Counter(tuple(text(record[name]) for name in per) for record in window)
            if fits(len(window), list(each.values())):
                found[at] = float(len(each) if scores_values else len(window))
        return found

    return truth


def share(each: Sequence[int], fits: Callable[[int], bool]) -> float:
    return sum(map(fits, each)) / len(each)


PER = "per: data.user_name"
LAWS = (
    Law("stuffing", PER + ", timespan: 20s, condition: {events: {gte: 4}, values: {gte: 3}, "
        "events_per_value: {lte: 2}, share: {of: {events_per_value: {lte: 1}}, gte: 0.5}}",
        shape(20, lambda n, each: n >= 4 and len(each) >= 3 and max(each) <= 2
              and share(each, lambda c: c <= 1) >= 0.5)),
    Law("many_values", PER + ", timespan: 12s, condition: {values: {gte: 3}}",
        shape(12, lambda n, each: len(each) >= 3)),
    Law("many_events", PER + ", timespan: 9s, condition: {events: {gt: 3}}",
        shape(9, lambda n, each: n > 3, scores_values=False)),
    Law("guessing", PER + ", timespan: 15s, condition: {events: {gte: 3}, values: {lte: 1}}",
        shape(15, lambda n, each: n >= 3 and len(each) <= 1)),
    Law("several_each", PER + ", timespan: 30s, condition: {events: {gte: 4}, events_per_value: {gte: 2}}",
        shape(30, lambda n, each: n >= 4 and min(each) >= 2, scores_values=False)),
    Law("mostly_once", PER + ", timespan: 25s, condition: {values: {gte: 3, lte: 4}, "
        "share: {of: {events_per_value: {eq: 1}}, gt: 0.3, lte: 0.7}}",
        shape(25, lambda n, each: 3 <= len(each) <= 4 and 0.3 < share(each, lambda c: c == 1) <= 0.7)),
    Law("pairs", "per: [data.user_name, data.client_name], timespan: 14s, condition: {values: {gte: 3}, "
        "events_per_value: {lt: 2}}",
        shape(14, lambda n, each: len(each) >= 3 and max(each) < 2, per=("user_name", "client_name"))),
    # Longer than anything is late: what is committed matters still.
    Law("long", PER + ", timespan: 180s, condition: {events: {gte: 12}, values: {gte: 5}, "
        "events_per_value: {lte: 6}, share: {of: {events_per_value: {lte: 3}}, gte: 0.5}}",
        shape(180, lambda n, each: n >= 12 and len(each) >= 5 and max(each) <= 6
              and share(each, lambda c: c <= 3) >= 0.5)),
    Law("whole_tenant", PER + ", timespan: 6s, condition: {events: {gte: 5}, values: {gte: 2}}",
        shape(6, lambda n, each: n >= 5 and len(each) >= 2), by=()),
)  # fmt: skip


SUITE = Laws("shape", SELECTIONS, LAWS)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return SUITE.rules(tmp_path_factory.mktemp("rules"))


@IN_MEMORY
@given(records=RECORDS, seed=SEEDS)
def test_shapes_in_memory_are_those_of_the_model(rules: RuleSet, records: list[Record], seed: int) -> None:
    SUITE.hold(rules, MemoryWindows(), records, seed)


@ON_REDIS
@given(records=RECORDS, seed=SEEDS)
def test_shapes_on_redis_are_those_of_the_model(
    rules: RuleSet, store: Store, records: list[Record], seed: int
) -> None:
    SUITE.hold(rules, fresh(store), records, seed)


@pytest.mark.parametrize("seed", range(3))
def test_shapes_of_a_long_stream_are_exact_while_state_expires(
    rules: RuleSet, store: Store, seed: int
) -> None:
    SUITE.hold_as_state_expires(rules, store, seed)


# The tests of the tests: each of these mistakes must be found.


def test_the_control_without_a_mistake_passes(rules: RuleSet) -> None:
    assert not SUITE.find_a_mistake(rules)


class _NeverLeaves(module._Spread):
    def remove(self, value: int) -> None:
        pass


class _Miscounted(module._Spread):
    def __init__(self, form: Form, values: Sequence[int]) -> None:
        super().__init__(form, [*values[:1], *values])


class _Shifted(Slide):
    """A window that is longer by so many milliseconds."""

    by = 0

    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return super().__call__(members, span_ms + self.by, from_ms, until_ms)


class _Shorter(_Shifted):
    by = -1


class _Longer(_Shifted):
    by = 1_000


MISTAKES = {
    "case matters": ("counted_value", lambda readers: lambda event: str([read(event) for read in readers])),
    "an event without its id": ("event_name", lambda text: sum(map(ord, text)) % 7),
    "what leaves is still counted": ("_Spread", _NeverLeaves),
    "the first event counts twice": ("_Spread", _Miscounted),
    "a window that is too short": ("Slide", _Shorter),
    "a window that is too long": ("Slide", _Longer),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    name, planted = MISTAKES[mistake]
    monkeypatch.setattr(module, name, planted)

    assert SUITE.find_a_mistake(SUITE.rules(tmp_path))
