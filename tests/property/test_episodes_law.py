"""Folding triggers into episodes, against the definition: maximal runs with no gap over `resolve_after`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.model.alert import Alert, ChangeKind, Sightings, Triggers
from tocsin.model.event import Event
from tocsin.model.rule import Rule, SeverityBound
from tocsin.protocols import Alerts
from tocsin.state import episodes
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = count()  # a corner of the store for every example
Instants = list[tuple[int, float]]
Shape = tuple[int, int, float, int, int]  # start, last, score, severity's rank is implied; fired, events

INSTANTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9).map(float)), max_size=30)
BATCHES = st.lists(INSTANTS, max_size=6)


def _rule(resolve_after_ms: int, for_ms: int = 0) -> Rule:
    bounds = (SeverityBound(5, "high"), SeverityBound(8, "critical"))
    return Rule(
        name="r", id="r", title="t", severity="low", resolve_after_ms=resolve_after_ms, for_ms=for_ms,
        severity_bounds=bounds,
    )  # fmt: skip


def _triggers(rule: Rule, instants: Instants, group: str = "g") -> Triggers:
    events = [Event(id=f"{at}-{score}", time_ms=at) for at, score in instants]
    return Triggers(rule, "t", group, instants, events)


def _model(instants: Instants, resolve_after_ms: int, for_ms: int = 0) -> set[tuple[int, int, float]]:
    """By the book: sort, cut where the gap is too wide, keep what lasts."""
    runs: list[Instants] = []
    for at, score in sorted(instants):
        if runs and at - runs[-1][-1][0] <= resolve_after_ms:
            runs[-1].append((at, score))
        else:
            runs.append([(at, score)])
    spans = [(run[0][0], run[-1][0], max(score for _, score in run)) for run in runs]
    return {span for span in spans if span[1] - span[0] >= for_ms}


def _shapes(alerts: list[Alert]) -> set[tuple[int, int, float]]:
    return {(a.started_ms, a.last_ms, a.score) for a in alerts if a.merged_into is None}


def _agrees(
    make: Callable[[], Alerts], batches: list[Instants], resolve_after_ms: int, for_ms: int = 0
) -> None:
    alerts = make()
    rule = _rule(resolve_after_ms, for_ms)
    for number, batch in enumerate(batches):
        alerts.fold([_triggers(rule, batch)], now=NOW + timedelta(seconds=number))
    expected = _model([instant for batch in batches for instant in batch], resolve_after_ms, for_ms)
    assert _shapes(alerts.find(limit=1000)) == expected
    assert all(a.severity == rule.severity_of(a.score) for a in alerts.find(limit=1000))


def _memory() -> Alerts:
    return MemoryAlerts(lambda *_: Sightings([], [], []))


@given(BATCHES, st.integers(0, 8))
def test_episodes_are_the_maximal_runs_whatever_the_order_and_the_batches(
    batches: list[Instants], resolve_after_ms: int
) -> None:
    _agrees(_memory, batches, resolve_after_ms)


@given(BATCHES, st.integers(0, 8), st.integers(0, 20))
def test_an_episode_fires_once_it_has_lasted_for_long_enough(
    batches: list[Instants], resolve_after_ms: int, for_ms: int
) -> None:
    _agrees(_memory, batches, resolve_after_ms, for_ms)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=BATCHES, resolve_after_ms=st.integers(0, 8))
def test_redis_folds_as_memory_does(store: Store, batches: list[Instants], resolve_after_ms: int) -> None:
    fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{next(FRESH)}")

    _agrees(lambda: RedisAlerts(fresh, lambda *_: Sightings([], [], [])), batches, resolve_after_ms)


@given(INSTANTS, st.integers(0, 8), st.integers(0, 80))
def test_what_was_quiet_for_long_enough_by_the_watermark_is_resolved_and_nothing_else(
    instants: Instants, resolve_after_ms: int, watermark_ms: int
) -> None:
    alerts = _memory()
    alerts.fold([_triggers(_rule(resolve_after_ms), instants)], now=NOW)

    changes = alerts.close("t", watermark_ms)

    over = {
        (start, last)
        for start, last, _ in _model(instants, resolve_after_ms)
        if last + resolve_after_ms < watermark_ms
    }
    assert {(c.alert.started_ms, c.alert.last_ms) for c in changes} == over
    assert all(c.at_ms == c.alert.resolved_ms == c.alert.last_ms + resolve_after_ms for c in changes)
    assert alerts.close("t", watermark_ms) == []


@given(BATCHES, st.integers(0, 8))
def test_folding_the_same_again_changes_nothing(batches: list[Instants], resolve_after_ms: int) -> None:
    alerts = _memory()
    rule = _rule(resolve_after_ms)
    for batch in batches:
        alerts.fold([_triggers(rule, batch)], now=NOW)
    before = alerts.find(limit=1000)

    again = [c for batch in batches for c in alerts.fold([_triggers(rule, batch)], now=NOW)]

    assert {change.kind for change in again} <= {ChangeKind.GROWN}
    assert alerts.find(limit=1000) == before


@given(INSTANTS, st.integers(0, 8))
def test_an_alert_opens_once_and_its_severity_only_rises(instants: Instants, resolve_after_ms: int) -> None:
    alerts = _memory()
    told = [
        change
        for instant in sorted(instants)
        for change in alerts.fold([_triggers(_rule(resolve_after_ms), [instant])], now=NOW)
        if change.kind is not ChangeKind.GROWN
    ]

    opened = [change.alert.id for change in told if change.kind is ChangeKind.OPENED]
    assert len(opened) == len(set(opened)) == len(_model(instants, resolve_after_ms))
    ranks = {"low": 0, "high": 1, "critical": 2}
    for alert_id in opened:
        course = [ranks[change.alert.severity] for change in told if change.alert.id == alert_id]
        assert course == sorted(set(course))


def _near_misses_the_edge(self: episodes.Episode, at_ms: int) -> bool:
    return self.alert.started_ms - self.resolve_after_ms < at_ms < self.deadline_ms


def _near_looks_only_forward(self: episodes.Episode, at_ms: int) -> bool:
    return self.alert.started_ms <= at_ms <= self.deadline_ms


def _join_keeps_both(self: episodes.Folder, near: list[episodes.Episode]) -> episodes.Episode:
    return near[0]


def _absorbs_no_start(self: episodes.Episode, other: episodes.Episode) -> None:
    self.alert.last_ms = max(self.alert.last_ms, other.alert.last_ms)


@pytest.mark.parametrize(
    ("owner", "name", "mistake"),
    [
        (episodes.Episode, "near", _near_misses_the_edge),
        (episodes.Episode, "near", _near_looks_only_forward),
        (episodes.Folder, "_join", _join_keeps_both),
        (episodes.Episode, "absorb", _absorbs_no_start),
    ],
    ids=["the edge is outside", "no late start", "no merge", "a merge forgets the start"],
)
def test_the_law_notices_a_planted_mistake(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, mistake: object
) -> None:
    monkeypatch.setattr(owner, name, mistake)
    streams = [
        [[(0, 1.0)], [(5, 1.0)]],
        [[(5, 1.0)], [(0, 1.0)]],
        [[(0, 1.0)], [(10, 1.0)], [(5, 1.0)]],
        [[(10, 1.0)], [(0, 1.0)], [(5, 1.0)]],
    ]

    def check() -> None:
        for stream in streams:
            _agrees(_memory, stream, 5)

    with pytest.raises(AssertionError):
        check()
