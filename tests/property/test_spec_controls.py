"""The control arms of the rule language's section 5 that no other law has, and what a hot key costs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from random import Random  # noqa: TID251 - seeded: a failure names its seed
from types import FrameType
from typing import Any

import pytest

from tocsin.clock import EPOCH
from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import CompiledRule, Matcher, RuleSet, WindowSpec
from tocsin.model.event import Event
from tocsin.model.observed import Observations
from tocsin.model.rule import Rule
from tocsin.protocols import Windows
from tocsin.rules.correlations.counting import Bounds, Count
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.connection import Store
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .test_windows_law import plant

LONG_AGO = 1_000_000_000_000  # in 2001: what is read now may have happened then
SPAN_MS = 10_000
THRESHOLD = 3
EVENTS = WindowSpec("brute", SPAN_MS, "events", keep=5, floor=THRESHOLD)
VALUES = EVENTS._replace(counts="values")

# State expires by the watermark; a wall-clock time to live is a backstop, relative to the write ----------


def _count_of_old_events(windows: Windows, spec: WindowSpec) -> float:
    """How many are in the window of the last of many that happened long ago, each read by itself."""
    counts: list[float] = [0]
    for number in range(200):
        at_ms = LONG_AGO + number
        seen = [Observations(spec._replace(keep=None), {"g": [(at_ms, f"m{number}")]})]
        answers = windows.observe("t", seen, committed_ms=LONG_AGO)
        counts += [count for answer in answers for _, count in answer.windows]
    return max(counts)


@pytest.mark.parametrize("spec", [EVENTS, VALUES], ids=["events", "values"])
def test_windows_of_events_that_happened_long_ago_are_kept(store: Store, spec: WindowSpec) -> None:
    assert _count_of_old_events(RedisWindows(store), spec) == 200


@pytest.mark.parametrize("spec", [EVENTS, VALUES], ids=["events", "values"])
def test_a_time_to_live_that_is_relative_to_the_event_would_be_found(
    store: Store, monkeypatch: pytest.MonkeyPatch, spec: WindowSpec
) -> None:
    at_event_time = "string.format('%.0f', committed + tonumber(rule.ttl))"
    line = "redis.call('PEXPIRE', rule.groups, rule.ttl)"
    plant(monkeypatch, "observe", line, f"redis.call('PEXPIREAT', rule.groups, {at_event_time})")

    assert _count_of_old_events(RedisWindows(store), spec) < THRESHOLD


# Episodes, and not "count >= N and the last alert is old" ------------------------------------------------

Span = tuple[int, int]
Says = Callable[[Sequence[int]], set[Span]]
RULE = Rule(
    name="r", id="r", title="t", severity="low", type="event_count", timespan_ms=SPAN_MS,
    resolve_after_ms=SPAN_MS,
)  # fmt: skip


def _defined(times_ms: Sequence[int]) -> set[Span]:
    """Every window by definition, then the maximal runs of those that hold enough."""
    true = [
        end
        for end in sorted(set(times_ms))
        if sum(end - SPAN_MS <= at <= end for at in times_ms) >= THRESHOLD
    ]
    runs: list[list[int]] = []
    for at in true:
        if runs and at - runs[-1][-1] <= SPAN_MS:
            runs[-1].append(at)
        else:
            runs.append([at])
    return {(run[0], run[-1]) for run in runs}


def _folded(times_ms: Sequence[int]) -> set[Span]:
    """What the engine and the episodes say, an event at a time, in the order of arrival."""
    correlation = Count(EVENTS._replace(keep=THRESHOLD), Bounds((("gte", THRESHOLD),)))
    rules = RuleSet((CompiledRule(RULE, (Matcher("r", "", None, None),), correlation),))
    evidence = MemoryEvidence()
    engine, alerts = Engine(rules, MemoryWindows(), evidence), MemoryAlerts(evidence.recall)
    for number, at in enumerate(times_ms):
        event = Event(id=f"e{number}", time_ms=LONG_AGO + at)
        alerts.fold(engine.process("t", [event], committed_ms=NEVER_MS), now=EPOCH)
    return {
        (alert.started_ms - LONG_AGO, alert.last_ms - LONG_AGO)
        for alert in alerts.find(limit=1_000)
        if alert.merged_into is None
    }


def _suppressed(times_ms: Sequence[int]) -> set[Span]:
    """The rule of the form "count >= N and the last alert is old", in the order of arrival."""
    seen: list[int] = []
    told: set[Span] = set()
    last = NEVER_MS
    for at in times_ms:
        seen.append(at)
        if sum(at - SPAN_MS <= other <= at for other in seen) >= THRESHOLD:
            if at - last > SPAN_MS:
                told.add((at, at))
            last = max(last, at)
    return told


def _stream(seed: int) -> list[int]:
    """Bursts and single events, shuffled within what may be late."""
    rng = Random(seed)
    times = [rng.randrange(0, 120) * 1_000 for _ in range(rng.randint(10, 40))]
    return sorted(times, key=lambda at: at + rng.randint(0, 60_000))


def _starts_as_defined(says: Says) -> None:
    for seed in range(100):
        times = _stream(seed)
        found, expected = says(times), _defined(times)
        assert {start for start, _ in found} == {start for start, _ in expected}, f"seed {seed}"


def test_episodes_of_shuffled_events_are_the_defined_ones() -> None:
    for seed in range(100):
        assert _folded(_stream(seed)) == _defined(_stream(seed)), f"seed {seed}"
    _starts_as_defined(_folded)


def test_a_rule_that_asks_whether_the_last_alert_is_old_would_be_found() -> None:
    with pytest.raises(AssertionError, match="seed"):
        _starts_as_defined(_suppressed)


# A hot key ----------------------------------------------------------------------------------------------


def _lines_of(work: Callable[[], object]) -> int:
    """How many lines of Python that took: a cost that no other process disturbs."""
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


def _lines_an_event(windows: Windows, spec: WindowSpec, sizes: range) -> int:
    """The median cost of one more member in a group of so many."""

    def see(number: int) -> None:
        seen = [Observations(spec, {"g": [(LONG_AGO + number, f"m{number}")]})]
        windows.observe("t", seen, committed_ms=LONG_AGO)

    costs = sorted(_lines_of(partial(see, number)) for number in sizes)
    return costs[len(costs) // 2]


@pytest.mark.parametrize("spec", [EVENTS, VALUES], ids=["events", "values"])
def test_one_more_event_of_a_group_of_thousands_costs_no_more_than_of_a_hundred(spec: WindowSpec) -> None:
    windows = MemoryWindows()
    everything = spec._replace(keep=None, span_ms=int(timedelta(hours=1) / timedelta(milliseconds=1)))

    few = _lines_an_event(windows, everything, range(100))
    for number in range(100, 4_000):
        seen = [Observations(everything, {"g": [(LONG_AGO + number, f"m{number}")]})]
        windows.observe("t", seen, committed_ms=LONG_AGO)
    many = _lines_an_event(windows, everything, range(4_000, 4_100))

    assert many <= 3 * few + 60


def test_a_group_that_is_looked_through_at_every_event_would_be_found() -> None:
    class Looked(MemoryWindows):
        def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> Any:
            self.all = [*getattr(self, "all", ()), None]
            for _ in self.all:
                pass
            return super().observe(tenant, seen, committed_ms=committed_ms)

    windows = Looked()

    few = _lines_an_event(windows, EVENTS, range(100))
    windows.all = [None] * 4_000
    many = _lines_an_event(windows, EVENTS, range(4_000, 4_100))

    assert many > 3 * few + 60
