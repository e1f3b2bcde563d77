"""Section 2 of the rule language: what an alert is called, when it fires, what a late event does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tocsin import telemetry
from tocsin.clock import ManualClock, to_ms
from tocsin.engine import Engine
from tocsin.loops import Detect, Health, Signals
from tocsin.model.alert import Alert, Change, ChangeKind, Sightings, Triggers
from tocsin.model.compiled import CompiledRule, Matcher, RuleSet
from tocsin.model.event import Event
from tocsin.model.rule import Rule
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Batch
from tocsin.reload import AtWork, LiveRules
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.positions import MemoryPositions
from tocsin.state.quarantine import MemoryQuarantine
from tocsin.state.windows_memory import MemoryWindows

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = Rule(name="r", id="r", title="t", severity="low", resolve_after_ms=100, group_by=("ip",))
LASTING = replace(RULE, for_ms=50)


def _alerts() -> MemoryAlerts:
    return MemoryAlerts(lambda *_: Sightings([], [], []))


def _fold(
    alerts: MemoryAlerts,
    *times_ms: int,
    rule: Rule = RULE,
    tenant: str = "acme",
    group: str = "g",
    now: datetime = START,
    **said: Any,
) -> list[Change]:
    events = [Event(id=f"e{at}", time_ms=at) for at in times_ms]
    triggers = Triggers(rule, tenant, group, [(at, 1.0) for at in times_ms], events, **said)
    return alerts.fold([triggers], now=now)


def _told(changes: list[Change]) -> list[tuple[str, int]]:
    return [(str(change.kind), change.at_ms) for change in changes if change.kind is not ChangeKind.GROWN]


def _only(alerts: MemoryAlerts) -> Alert:
    (alert,) = alerts.find()
    return alert


# Names of alerts ----------------------------------------------------------------------------------------


def test_a_late_event_moves_the_start_of_an_alert_and_not_its_id() -> None:
    alerts = _alerts()
    _fold(alerts, 1_000)
    before = _only(alerts).id

    told = _fold(alerts, 950)

    assert _only(alerts).started_ms == 950
    assert _only(alerts).id == before
    assert _told(told) == []


def test_the_id_of_an_alert_is_made_of_its_fingerprint_and_the_start_it_was_opened_with() -> None:
    def opened(at_ms: int, **rest: str) -> Alert:
        alerts = _alerts()
        _fold(alerts, at_ms, **rest)  # type: ignore[arg-type]
        return _only(alerts)

    again, later, other = opened(1_000), opened(1_001), opened(1_000, group="h")

    assert opened(1_000).id == again.id
    assert len({again.id, later.id, other.id, opened(1_000, tenant="umbrella").id}) == 4
    assert again.fingerprint == later.fingerprint


def test_a_fingerprint_is_of_tenant_rule_and_group() -> None:
    alerts = _alerts()
    for rule in (RULE, replace(RULE, id="s")):
        for tenant in ("acme", "umbrella"):
            for group in ("g", "h"):
                _fold(alerts, 1_000, rule=rule, tenant=tenant, group=group)

    assert len({alert.fingerprint for alert in alerts.find()}) == 8


# Joining ------------------------------------------------------------------------------------------------


def test_an_alert_that_became_part_of_another_is_told_once() -> None:
    alerts = _alerts()
    _fold(alerts, 0)
    _fold(alerts, 200)

    joined = _told(_fold(alerts, 100))

    assert joined == [("merged", 200)]
    assert _told(_fold(alerts, 100, 200)) == []
    assert _told(alerts.close("acme", 10_000)) == [("resolved", 300)]


@pytest.mark.parametrize(("first_ms", "second_ms"), [(0, 200), (200, 0)])
def test_of_two_alerts_that_are_one_the_one_that_was_opened_first_lives(
    first_ms: int, second_ms: int
) -> None:
    alerts = _alerts()
    _fold(alerts, first_ms)
    (first,) = alerts.find()
    _fold(alerts, second_ms, now=START + timedelta(seconds=1))

    _fold(alerts, 100, now=START + timedelta(seconds=2))

    (alive,) = [alert for alert in alerts.find() if alert.merged_into is None]
    assert alive.id == first.id
    assert (alive.started_ms, alive.last_ms) == (0, 200)
    assert {alert.merged_into for alert in alerts.find() if alert.id != alive.id} == {first.id}


def test_of_an_alert_that_never_fired_nobody_is_told_that_it_became_part_of_another() -> None:
    alerts = _alerts()
    _fold(alerts, 0, 50, rule=LASTING)
    _fold(alerts, 250, rule=LASTING)

    assert _told(_fold(alerts, 150, rule=LASTING)) == []
    assert (_only(alerts).started_ms, _only(alerts).last_ms) == (0, 250)


SAID: dict[str, dict[str, Any]] = {
    "late": {"late_before_ms": 1_000},
    "floor": {"floor": True},
    "sampled": {"sampled": True},
    "warming": {"warming_until_ms": 1_000},
}


@pytest.mark.parametrize("mark", SAID)
@pytest.mark.parametrize(("before", "after"), [(0, 200), (200, 0)])
def test_what_is_said_of_an_alert_is_said_of_what_it_became_part_of(
    mark: str, before: int, after: int
) -> None:
    alerts = _alerts()
    _fold(alerts, before)
    _fold(alerts, after, now=START + timedelta(seconds=1), **SAID[mark])

    _fold(alerts, 100, now=START + timedelta(seconds=2))

    (alive,) = [alert for alert in alerts.find() if alert.merged_into is None]
    assert getattr(alive, mark)


@pytest.mark.parametrize("mark", SAID)
@pytest.mark.parametrize("times_ms", [(500,), (550,), (450,), (520, 540, 560)])
def test_what_is_said_of_a_trigger_is_said_of_the_alert_that_it_prolongs(
    mark: str, times_ms: tuple[int, ...]
) -> None:
    alerts = _alerts()
    if times_ms != (500,):
        _fold(alerts, 500)
        assert not getattr(_only(alerts), mark)

    _fold(alerts, *times_ms, **SAID[mark])
    assert getattr(_only(alerts), mark)

    _fold(alerts, 580)
    assert getattr(_only(alerts), mark)


# `for` --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times_ms", "fired_ms"), [((0, 49), None), ((0, 50), 50), ((0, 20, 49, 80, 90), 80)]
)
def test_an_alert_fires_at_the_first_trigger_that_is_long_enough_after_its_start(
    times_ms: tuple[int, ...], fired_ms: int | None
) -> None:
    alerts = _alerts()

    told = [told for at_ms in times_ms for told in _told(_fold(alerts, at_ms, rule=LASTING))]

    assert told == ([] if fired_ms is None else [("opened", fired_ms)])
    if fired_ms is not None:
        assert (_only(alerts).started_ms, _only(alerts).fired_ms) == (0, fired_ms)


def test_of_an_alert_that_never_fired_nobody_is_told_that_it_is_over() -> None:
    alerts = _alerts()
    _fold(alerts, 0, 49, rule=LASTING)

    assert alerts.close("acme", 10_000) == []


def test_a_late_event_that_prolongs_an_alert_that_was_over_lets_it_fire_again_until_it_is_over_again() -> (
    None
):
    alerts = _alerts()
    _fold(alerts, 0)
    assert _told(alerts.close("acme", 101)) == [("resolved", 100)]

    _fold(alerts, 60)

    assert (_only(alerts).status, _only(alerts).resolved_ms) == ("firing", None)
    assert alerts.close("acme", 160) == []
    assert _told(alerts.close("acme", 161)) == [("resolved", 160)]


def test_an_alert_ends_when_it_was_quiet_for_longer_than_its_quiet_time() -> None:
    alerts = _alerts()
    _fold(alerts, 0, 90)

    assert alerts.close("acme", 190) == []
    assert _told(alerts.close("acme", 191)) == [("resolved", 190)]


# Late events --------------------------------------------------------------------------------------------


class _Batches:
    """A source of some batches, each a position."""

    name = "auth0"
    allowed_lateness = timedelta(seconds=60)

    def __init__(self, *batches: list[Event]) -> None:
        self._batches = batches

    def read(self, after: str | None) -> Iterator[Batch]:
        for place in range(int(after or 0), len(self._batches)):
            yield Batch(self._batches[place], str(place + 1))


def _event(seconds: float) -> Event:
    at_ms = to_ms(START + timedelta(seconds=seconds))
    return Event(id=f"e{seconds}", time_ms=at_ms, provider="auth0", tenant="acme", code="fp", raw=b"{}")


def _detect(source: _Batches) -> Detect:
    rule = replace(RULE, group_by=(), resolve_after_ms=0)
    rules = RuleSet((CompiledRule(rule, (Matcher("r", "auth0", None, None),)),))
    evidence = MemoryEvidence()
    engine = Engine(rules, MemoryWindows(), evidence)
    return Detect(
        source, LiveRules(AtWork(rules, engine)), MemoryAlerts(evidence.recall), MemoryPositions(),
        MemoryQuarantine(), Watermarks(START), ManualClock(START + timedelta(hours=1)), Signals(), Health(),
    )  # fmt: skip


def test_what_came_behind_the_watermark_is_evaluated_marked_and_counted_and_no_other() -> None:
    counter = telemetry.EVENTS_LATE.labels(source="auth0")
    before = counter._value.get()
    detect = _detect(_Batches([_event(600)], [_event(541), _event(540)], [_event(539), _event(100)]))

    detect.once()

    found = {(alert.started_ms - to_ms(START)) // 1_000: alert.late for alert in detect.alerts.find()}
    assert found == {600: False, 541: False, 540: False, 539: True, 100: True}
    assert counter._value.get() - before == 2
