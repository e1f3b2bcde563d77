"""`sequence` against a brute force that tries every way to cut a window into its steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations import sequence, sequence_ledger
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

SELECTIONS = (
    "    failed: {data.type: [fp, fu]}\n"
    "    known: {data.type: fp}\n"
    "    ok: {data.type: s}\n"
    "    blocked: {data.type: limit_wc}\n"
    "    new: {data.type: ss}\n"
    "    condition: 1 of them\n"
)
FAILED, OK, BLOCKED, NEW = ("fp", "fu"), ("s",), ("limit_wc",), ("ss",)


class Step(NamedTuple):
    codes: Sequence[str]
    at_least: int = 1
    distinct: tuple[str, ...] = ()

    def count(self, records: Sequence[Record]) -> int:
        names = self.distinct or ("log_id",)
        mine = [record for record in records if record["type"] in self.codes]
        found = [tuple(text(record[name]) for name in names) for record in mine]
        return len({values for values in found if all(values)})

    def has(self, record: Record) -> bool:
        return self.count([record]) > 0


def chain(span: int, *steps: Step) -> BruteForce:
    """Each step is in a stretch of its own of the window; the last stretch ends with an event of it.

    A stretch is begun at any instant: the score is the most that the first one can hold.
    """

    def truth(records: Sequence[Record], _end: int) -> dict[int, float]:
        found = {}
        for at in {record["at"] for record in records if steps[-1].has(record)}:
            window = inside(records, at - span, at)
            scores = [steps[0].count(inside(window, 0, cut - 1)) for cut in _cuts(window, at)]
            if scores and max(scores) >= steps[0].at_least:
                found[at] = float(max(scores))
        return found

    def _cuts(window: Sequence[Record], at: int) -> Sequence[int]:
        """The beginnings of the second step's stretch, with which the rest is there."""
        instants = sorted({record["at"] for record in window})
        found = set()
        for cuts in itertools.combinations(instants, len(steps) - 1):
            ends = [cut - 1 for cut in cuts[1:]] + [at]
            parts = [inside(window, *stretch) for stretch in zip(cuts, ends, strict=True)]
            if all(step.count(part) >= step.at_least for step, part in zip(steps[1:], parts, strict=True)):
                found.add(cuts[0])
        return sorted(found)

    return truth


LAWS = (
    Law("failed_then_ok", "timespan: 20s, steps: [{when: failed, at_least: 3}, {when: ok}]",
        chain(20, Step(FAILED, 3), Step(OK))),
    Law("users_then_ok", "timespan: 15s, "
        "steps: [{when: failed, at_least: 2, distinct: data.user_name}, {when: ok}]",
        chain(15, Step(FAILED, 2, ("user_name",)), Step(OK))),
    Law("then_two_users", "timespan: 25s, steps: [{when: failed, at_least: 2}, "
        "{when: ok, at_least: 2, distinct: [data.user_name]}]",
        chain(25, Step(FAILED, 2), Step(OK, 2, ("user_name",)))),
    Law("three_steps", "timespan: 18s, "
        "steps: [{when: failed}, {when: ok, at_least: 2}, {when: new or blocked}]",
        chain(18, Step(FAILED), Step(OK, 2), Step((*NEW, *BLOCKED)))),
    Law("a_user_between", "timespan: 16s, steps: [{when: new}, "
        "{when: failed, at_least: 2, distinct: data.user_name}, {when: ok}]",
        chain(16, Step(NEW), Step(FAILED, 2, ("user_name",)), Step(OK))),
    # One event is of both steps: it can serve one of them.
    Law("overlapping", "timespan: 10s, steps: [{when: failed, at_least: 2}, {when: known}]",
        chain(10, Step(FAILED, 2), Step(("fp",)))),
    Law("the_same_thrice", "timespan: 9s, steps: [{when: failed}, {when: failed}, {when: failed}]",
        chain(9, Step(FAILED), Step(FAILED), Step(FAILED))),
    # Longer than anything is late: what is committed matters still.
    Law("long", "timespan: 200s, steps: [{when: failed, at_least: 12}, {when: ok}]",
        chain(200, Step(FAILED, 12), Step(OK))),
    Law("long_to_two_users", "timespan: 150s, steps: [{when: failed, at_least: 4, distinct: data.user_name}, "
        "{when: ok, at_least: 2, distinct: data.user_name}]",
        chain(150, Step(FAILED, 4, ("user_name",)), Step(OK, 2, ("user_name",)))),
    Law("pairs_of_a_tenant", "timespan: 7s, steps: "
        "[{when: failed, at_least: 3, distinct: [data.user_name, data.ip]}, {when: ok}]",
        chain(7, Step(FAILED, 3, ("user_name", "ip")), Step(OK)), by=()),
)  # fmt: skip


SUITE = Laws("sequence", SELECTIONS, LAWS)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return SUITE.rules(tmp_path_factory.mktemp("rules"))


@IN_MEMORY
@given(records=RECORDS, seed=SEEDS)
def test_sequences_in_memory_are_those_of_the_model(rules: RuleSet, records: list[Record], seed: int) -> None:
    SUITE.hold(rules, MemoryWindows(), records, seed)


@ON_REDIS
@given(records=RECORDS, seed=SEEDS)
def test_sequences_on_redis_are_those_of_the_model(
    rules: RuleSet, store: Store, records: list[Record], seed: int
) -> None:
    SUITE.hold(rules, fresh(store), records, seed)


@pytest.mark.parametrize("seed", range(3))
def test_sequences_of_a_long_stream_are_exact_while_state_expires(
    rules: RuleSet, store: Store, seed: int
) -> None:
    SUITE.hold_as_state_expires(rules, store, seed)


# The tests of the tests: each of these mistakes must be found.


def test_the_control_without_a_mistake_passes(rules: RuleSet) -> None:
    assert not SUITE.find_a_mistake(rules)


class _NotStrict(sequence_ledger._Moving):
    def latest_start(self, before_ms: int, at_least: int) -> int | None:
        return super().latest_start(before_ms + 1, at_least)


class _Earliest(sequence_ledger._Moving):
    def latest_start(self, before_ms: int, at_least: int) -> int | None:
        found = super().latest_start(before_ms, at_least)
        return None if found is None else min(found, self._times[0])


class _EventsForValues(sequence_ledger._Moving):
    def __init__(self, *, distinct: bool) -> None:
        super().__init__(distinct=False)


class _Unbounded(sequence_ledger._Moving):
    def count(self, from_ms: int, before_ms: int) -> int:
        return super().count(from_ms - 60_000, before_ms)


class _ForgetsOpenings(sequence_ledger._Chain):
    def _let_go(self, committed_ms: int) -> None:
        self._members.drop(self._members.first_at(committed_ms))


class _OneEndIsEnough(sequence_ledger._Chain):
    def _let_go(self, committed_ms: int) -> None:
        self._last = 1
        self._forget_ends(committed_ms)


MISTAKES = {
    "what is committed is of no more use": ("_Chain", _ForgetsOpenings),
    "one event of any last step is enough": ("_Chain", _OneEndIsEnough),
    "one instant is in order": ("_Moving", _NotStrict),
    "the rest begins as early as it can": ("_Moving", _Earliest),
    "events for values": ("_Moving", _EventsForValues),
    "before the window": ("_Moving", _Unbounded),
    "case matters": ("counted_value", lambda readers: lambda event: str([read(event) for read in readers])),
    "an event without its id": ("event_name", lambda text: sum(map(ord, text)) % 7 << 4),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    name, planted = MISTAKES[mistake]
    module = sequence_ledger if hasattr(sequence_ledger, name) else sequence
    monkeypatch.setattr(module, name, planted)

    assert SUITE.find_a_mistake(SUITE.rules(tmp_path))


def test_a_flood_of_the_last_step_does_not_push_out_the_first() -> None:
    steps = (sequence_ledger.Step(1), sequence_ledger.Step(1))
    ledger = sequence_ledger.chained(100_000, steps)(None, 50)
    ledger.observe([Seen(1, number * 16, number * 16) for number in range(7)], 0)

    told = []
    for at in range(2, 90_000, 100):
        told = ledger.observe([Seen(at + n, (at + n) * 16 + 1, 1) for n in range(0, 100, 5)], at - 100)

    assert told[-1][1] == 7.0
    assert ledger.size < 60
    assert ledger.floor_until < 0


def test_a_group_without_an_event_of_the_first_step_is_soon_forgotten() -> None:
    steps = (sequence_ledger.Step(1), sequence_ledger.Step(1))
    ledger = sequence_ledger.chained(100_000, steps)(None, None)

    ledger.observe([Seen(1_000, 17, 17)], 0)
    assert ledger.lasts_until == 1_000
    ledger.observe([Seen(2_000, 33, 33)], 1_500)
    assert ledger.size == 1
    ledger.observe([Seen(1_700, 16, 16)], 1_500)
    assert ledger.lasts_until == 2_000 + 100_000
