"""What an alert says when it opens, grows, is joined and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import pytest

from tocsin.model.alert import Alert, Change, ChangeKind, Sightings, Triggers, Value
from tocsin.model.event import Event, attribute, event_type
from tocsin.model.rule import Rule, SeverityBound
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.opening import entity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Login: Any = event_type({"ip", "user_name"})
READERS = (attrgetter(attribute("user_name")), attrgetter(attribute("ip")))
RULE = Rule(
    name="failures", id="r1", title="Failures", severity="medium", type="event_count", group_by=("data.ip",),
    timespan_ms=100, resolve_after_ms=100, context=("data.user_name",), labels={"team": "identity"},
    severity_bounds=(SeverityBound(4, "high"),), headline="{{ score }} failures",
)  # fmt: skip


def _event(at_ms: int, user: str, ip: str = "A.example") -> Event:
    event: Event = Login(**{attribute("ip"): ip, attribute("user_name"): user})
    event.id, event.time_ms = f"e{at_ms}", at_ms
    return event


def _fold(alerts: MemoryAlerts, *seen: tuple[int, float, str], late_before_ms: int = -1) -> list[Change]:
    events = [_event(at, user) for at, _, user in seen]
    instants = [(at, score) for at, score, _ in seen]
    trigger = Triggers(RULE, "acme", "a.example", instants, events, READERS, late_before_ms=late_before_ms)
    return alerts.fold([trigger], now=NOW)


def _alerts() -> MemoryAlerts:
    return MemoryAlerts(lambda *_: Sightings([], [], []))


def _only(alerts: MemoryAlerts) -> Alert:
    (alert,) = alerts.find()
    return alert


def test_an_alert_opens_with_its_group_as_written_and_its_labels() -> None:
    (opened,) = [c for c in _fold(_alerts(), (10, 3.0, "ann")) if c.kind is ChangeKind.OPENED]

    assert opened.alert.group == {"data.ip": "A.example"}
    told = {"rule": "failures", "severity": "medium", "tenant": "acme", "entity": "ip:a.example"}
    assert opened.alert.labels == told | {"team": "identity"}
    assert (opened.alert.started_ms, opened.alert.score, opened.alert.fired_ms) == (10, 3.0, 10)


def test_the_opening_change_carries_the_score_at_opening_and_the_alert_the_highest() -> None:
    alerts = _alerts()

    opened, raised, _ = _fold(alerts, (10, 3.0, "ann"), (20, 4.0, "bob"), (30, 5.0, "cy"))

    assert (opened.kind, opened.alert.score, opened.alert.severity) == (ChangeKind.OPENED, 3.0, "medium")
    assert (raised.kind, raised.at_ms, raised.alert.severity) == (ChangeKind.RAISED, 20, "high")
    assert _only(alerts).score == 5.0


def test_evidence_of_a_change_holds_what_came_up_to_it_and_no_more() -> None:
    opened, raised, _ = _fold(_alerts(), (10, 3.0, "ann"), (20, 4.0, "bob"), (30, 5.0, "bob"))

    assert opened.alert.evidence.values == {"data.user_name": [Value("ann", 1)]}
    assert raised.alert.evidence.values == {"data.user_name": [Value("ann", 1), Value("bob", 1)]}
    assert raised.alert.evidence.events == ["e10", "e20"]


def test_an_alert_says_what_the_event_at_its_first_trigger_showed() -> None:
    alerts = _alerts()
    opened, *_ = _fold(alerts, (50, 3.0, "bob"), (60, 4.0, "cy"))
    assert (opened.alert.trigger, _only(alerts).trigger) == ({"data.user_name": "bob"},) * 2

    _fold(alerts, (20, 3.0, "late"))
    assert _only(alerts).trigger == {"data.user_name": "late"}


def test_of_two_episodes_that_are_one_the_earlier_says_what_its_first_event_showed() -> None:
    alerts = _alerts()
    _fold(alerts, (300, 3.0, "second"))
    _fold(alerts, (150, 3.0, "first"))
    assert len(alerts.find()) == 2

    _fold(alerts, (225, 3.0, "between"))

    (alert,) = [alert for alert in alerts.find() if alert.merged_into is None]
    assert (alert.started_ms, alert.trigger) == (150, {"data.user_name": "first"})


def test_where_no_event_is_kept_of_the_first_trigger_nothing_is_said_of_it() -> None:
    alerts = MemoryAlerts(lambda *_: Sightings([5], ["e5"], [["ann"], ["A.example"]]))
    trigger = Triggers(RULE, "acme", "a.example", [(10, 3.0)], [], READERS, state="s")

    (opened, *_) = alerts.fold([trigger], now=NOW)

    assert opened.alert.trigger == {}


def test_later_events_that_stand_for_those_of_an_opening_are_counted_once() -> None:
    """A flood pushed out what it began with: the store answers with what it went on with."""
    later = [_event(at, f"u{at}") for at in (30, 40)]
    alerts = MemoryAlerts(lambda triggers, *_: Sightings.of(later, triggers.readers))
    due = Triggers(RULE, "acme", "a.example", [(10, 3.0)], [], READERS, state="s")
    alerts.fold([due], now=NOW)

    alerts.fold([due._replace(instants=[(35, 3.0), (38, 3.0)])], now=NOW)

    assert (_only(alerts).evidence.total, _only(alerts).trigger) == (2, {})


def test_evidence_of_an_opening_begins_with_what_the_group_was_seen_with_before() -> None:
    before = Sightings([1, 10], ["e1", "e10"], [["zoe", "ann"], ["a.EXAMPLE", "A.example"]])
    alerts = MemoryAlerts(lambda *_: before)
    trigger = Triggers(RULE, "acme", "a.example", [(10, 3.0)], [_event(10, "ann")], READERS, state="s")

    alerts.fold([trigger], now=NOW)

    assert _only(alerts).evidence.values == {"data.user_name": [Value("ann", 1), Value("zoe", 1)]}
    assert _only(alerts).group == {"data.ip": "a.EXAMPLE"}  # as first written


def test_reading_a_batch_again_counts_no_evidence_twice() -> None:
    alerts = _alerts()
    _fold(alerts, (10, 3.0, "ann"), (20, 3.0, "ann"))

    _fold(alerts, (10, 3.0, "ann"), (20, 3.0, "ann"))

    assert _only(alerts).evidence.total == 2


def test_a_late_trigger_joins_two_episodes_and_the_one_opened_earlier_lives() -> None:
    alerts = _alerts()
    (first, *_) = _fold(alerts, (0, 3.0, "ann"))
    (second, *_) = _fold(alerts, (200, 3.0, "bob"))

    changes = _fold(alerts, (100, 3.0, "cy"), late_before_ms=150)

    merged = next(c for c in changes if c.kind is ChangeKind.MERGED)
    assert merged.alert.id == second.alert.id
    assert merged.alert.merged_into == first.alert.id
    survivor = alerts.get(first.alert.id)
    assert survivor is not None
    assert (survivor.started_ms, survivor.last_ms, survivor.late) == (0, 200, True)


def test_an_alert_that_a_late_event_completes_is_marked_late() -> None:
    alerts = _alerts()

    _fold(alerts, (10, 3.0, "ann"), late_before_ms=50)

    assert _only(alerts).late


def test_a_known_event_that_comes_again_late_marks_nothing() -> None:
    alerts = _alerts()
    _fold(alerts, (10, 3.0, "ann"), (20, 3.0, "ann"))

    _fold(alerts, (20, 3.0, "ann"), late_before_ms=500)

    assert not _only(alerts).late


def test_resolving_tells_when_it_had_been_quiet_for_long_enough() -> None:
    alerts = _alerts()
    _fold(alerts, (10, 3.0, "ann"), (50, 3.0, "ann"))

    (resolved,) = alerts.close("acme", 151)

    assert (resolved.kind, resolved.at_ms, resolved.alert.status) == (ChangeKind.RESOLVED, 150, "resolved")
    assert alerts.close("acme", 1000) == []


def test_an_open_alert_cannot_be_settled() -> None:
    alerts = _alerts()
    _fold(alerts, (10, 3.0, "ann"))

    alerts.settle([_only(alerts).id])

    assert [alert.status for alert in alerts.unsettled()] == ["firing"]


def test_settled_alerts_are_no_longer_planned_and_old_ones_are_forgotten() -> None:
    alerts = _alerts()
    _fold(alerts, (10, 3.0, "ann"))
    alerts.close("acme", 1000)
    assert [alert.status for alert in alerts.unsettled()] == ["resolved"]

    alerts.settle([_only(alerts).id])

    assert alerts.unsettled() == []
    assert alerts.forget(NOW) == 1
    assert alerts.find() == []


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"data.ip": "203.0.113.9"}, "ip:203.0.113.9"),
        ({"data.user_name": "Ann@Example.com"}, "user:ann@example.com"),
        ({"data.user_name": "ann", "data.ip": "203.0.113.9"}, "ip:203.0.113.9"),
        ({"data.details.request.ip": "203.0.113.9"}, "ip:203.0.113.9"),
        ({"data.client_id": "abc"}, "client:abc"),
        ({"data.connection": "db"}, "tenant:acme"),
        ({"data.ip": ""}, "tenant:acme"),
        ({}, "tenant:acme"),
        ({"source.ip": "203.0.113.9"}, "ip:203.0.113.9"),
        ({"user.name": "Ann", "organization.id": "org_1"}, "user:ann"),
        ({"user.id": "auth0|1"}, "user:auth0|1"),
        ({"user.email": "Ann@example.com"}, "user:ann@example.com"),
        ({"organization.name": "Umbrella"}, "tenant:acme"),
        ({"data.name": "Ann"}, "user:ann"),
    ],
)
def test_an_alert_is_about_the_first_kind_of_entity_that_its_group_names(
    group: dict[str, str], expected: str
) -> None:
    assert entity(group, "acme") == expected
