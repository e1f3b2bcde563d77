"""A store of alerts: what is planned, what is kept and for how long; in memory and on a real server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tocsin.clock import to_ms
from tocsin.model.alert import Sightings, Triggers, Value
from tocsin.model.event import Event
from tocsin.model.rule import Rule
from tocsin.protocols import Alerts
from tocsin.state import alerts_redis
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = to_ms(NOON)
RULE = Rule(name="r", id="r", title="t", severity="low", resolve_after_ms=1_000)
LASTING = replace(RULE, name="lasting", id="lasting", for_ms=60_000)
READERS = {"data.user_name": lambda e: e.fields.get("user"), "data.user_agent": lambda e: e.fields.get("ua")}


def _nothing(*_: object) -> Sightings:
    return Sightings([], [], [])


@pytest.fixture(params=["memory", "redis"])
def alerts(request: pytest.FixtureRequest) -> Alerts:
    if request.param == "memory":
        return MemoryAlerts(_nothing)
    return RedisAlerts(request.getfixturevalue("store"), _nothing)


def _trigger(rule: Rule, at_ms: int, group: str = "g", context: tuple[str, ...] = ()) -> Triggers:
    event = Event(id=f"{group}{at_ms}", time_ms=NOON_MS + at_ms, parsed={"user": "ann", "ua": "curl"})
    readers = tuple(READERS[field] for field in context)
    rule = replace(rule, context=context)
    return Triggers(rule, "t", group, [(NOON_MS + at_ms, 1)], [event], readers)


def test_an_episode_that_has_not_fired_is_not_planned_and_goes_like_others(alerts: Alerts) -> None:
    alerts.fold([_trigger(LASTING, 0)], now=NOON)
    alerts.close("t", NOON_MS + 5_000)

    assert alerts.unsettled() == alerts.find() == []
    assert alerts.forget(NOON + timedelta(days=1)) == 1


def test_what_is_firing_unsettled_or_young_is_not_forgotten(alerts: Alerts) -> None:
    alerts.fold([_trigger(RULE, 0, "over"), _trigger(RULE, 0, "untold")], now=NOON)
    alerts.close("t", NOON_MS + 5_000)
    alerts.fold([_trigger(RULE, 0, "firing"), _trigger(RULE, 90_000_000, "young")], now=NOON)
    alerts.settle([alert.id for alert in alerts.find() if alert.id.startswith(_id_of(alerts, "over"))])

    assert alerts.forget(NOON + timedelta(days=1)) == 1
    assert len(alerts.find()) == 3


def _id_of(alerts: Alerts, group: str) -> str:
    return next(alert.id for alert in alerts.find() if alert.evidence.events == [f"{group}{0}"])


def test_retention_goes_past_what_must_stay(alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_redis, "PAGE", 3)
    waiting = [_trigger(RULE, n, f"waiting{n}") for n in range(7)]
    over = [_trigger(RULE, 100 + n, f"over{n}") for n in range(8)]
    alerts.fold([*waiting, *over], now=NOON)
    alerts.close("t", NOON_MS + 5_000)
    alerts.settle([alert.id for alert in alerts.find() if alert.started_ms >= NOON_MS + 100])

    assert alerts.forget(NOON + timedelta(days=1)) == 8
    assert len(alerts.find()) == len(alerts.unsettled()) == 7


def test_a_rule_with_another_context_goes_on_with_its_open_alert(alerts: Alerts) -> None:
    alerts.fold([_trigger(RULE, 0, context=("data.user_agent", "data.user_name"))], now=NOON)

    alerts.fold([_trigger(RULE, 500, context=("data.user_name",))], now=NOON)

    (alert,) = alerts.find()
    assert alert.evidence.values == {"data.user_name": [Value("ann", 2)]}


def test_episodes_of_before_and_after_a_rules_change_can_become_one(alerts: Alerts) -> None:
    alerts.fold([_trigger(RULE, 0, context=("data.user_agent", "data.user_name"))], now=NOON)
    alerts.fold([_trigger(RULE, 2_000, context=("data.user_name",))], now=NOON)

    alerts.fold([_trigger(RULE, 1_000, context=("data.user_name",))], now=NOON)

    alert = next(alert for alert in alerts.find() if alert.merged_into is None)
    assert (alert.started_ms, alert.last_ms) == (NOON_MS, NOON_MS + 2_000)
    assert alert.evidence.values["data.user_name"][0].count >= 2


def test_a_server_keeps_nothing_of_what_was_forgotten(store: Store) -> None:
    alerts = RedisAlerts(store, _nothing)
    alerts.fold([_trigger(RULE, 0)], now=NOON)
    alerts.close("t", NOON_MS + 5_000)
    alerts.settle([alert.id for alert in alerts.find()])

    alerts.forget(NOON + timedelta(days=1))

    left = {key: store.client.pttl(key) for key in store.client.scan_iter(match=store.pattern("*"))}
    assert all(ttl > 0 for key, ttl in left.items() if not key.endswith(b":schema")), left
