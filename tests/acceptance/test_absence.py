"""Silence, live: a clock, a real store, a loopback receiver, and nothing that arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tocsin.state.connection import Store

from .script import START, Play, play

MINUTE, HOUR = 60, 3_600
AT_ONCE = "route: {channels: [hook], group_wait: 0s, group_interval: 0s, repeat_interval: 100h}\n"
HEAD = "logsource: {product: auth0}\nlevel: medium\n"
QUIET = f"""title: quiet
name: quiet
{HEAD}detection: {{login: {{data.type: s}}, condition: login}}
tocsin:
    correlate: {{type: absence, timespan: 30m}}
    alert: {{context: [data.ip]}}
"""
EXPECTED = f"""title: missing
name: missing
{HEAD}detection: {{login: {{data.type: s}}, condition: login}}
tocsin:
    correlate: {{type: absence, group-by: [data.connection], expected: [Users, Partners], timespan: 30m}}
"""
LEFT_OFF = f"""title: left off
name: left_off
{HEAD}detection:
    off: {{data.type: gd_unenroll}}
    on: {{data.type: gd_enrollment_complete}}
    condition: off or on
tocsin:
    correlate: {{type: absence, group-by: [data.user_id], timespan: 30m, after: off, without: on}}
    alert: {{context: [data.ip]}}
"""
Start = Callable[[str], Play]


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Start]:
    running: list[AbstractContextManager[Play]] = []

    def begin(rules: str, **more: Any) -> Play:
        running.append(play(store, tmp_path, rules, AT_ONCE, **more))
        return running[-1].__enter__()

    yield begin
    for one in running:
        one.__exit__(None, None, None)


def login(at: float, **more: Any) -> dict[str, Any]:
    return {"at": at, "type": "s", "ip": "198.51.100.4", "user_name": "ann", **more}


def test_a_source_gone_quiet_is_one_alert_until_it_speaks_again(start: Start) -> None:
    script = start(QUIET)

    script.at(0).events(login(0))
    script.at(10 * MINUTE).events(login(10 * MINUTE, ip="203.0.113.9"))
    script.at(40 * MINUTE).expect("hook")
    script.at(45 * MINUTE).expect("hook", {"firing quiet"})
    script.at(4 * HOUR).expect("hook")  # it goes on, and nobody is told again
    (alert,) = script.alerts()
    assert alert.status == "firing"
    assert alert.score >= 6
    assert [value.text for value in alert.evidence.values["data.ip"]] == ["203.0.113.9"]

    script.events(login(4 * HOUR))
    script.at(4 * HOUR + 29 * MINUTE).events(login(4 * HOUR + 29 * MINUTE)).expect("hook", {"resolved quiet"})
    assert [alert.status for alert in script.alerts()] == ["resolved"]


def test_a_quiet_tenant_known_from_before_a_restart_is_noticed(start: Start) -> None:
    start(QUIET).at(0).events(login(0))

    again = start(QUIET)

    again.at(0).expect("hook")
    again.at(35 * MINUTE).expect("hook", {"firing quiet"})


def test_what_is_expected_is_missed_although_it_never_came(start: Start) -> None:
    script = start(EXPECTED)

    def at(minutes: int, *connections: str) -> Play:
        logins = [login(minutes * MINUTE, connection=connection) for connection in connections]
        return script.at(minutes * MINUTE).events(*logins)

    at(0, "users", "other")
    at(20, "Users").expect("hook")
    at(40, "users").expect("hook", {"firing missing"})
    (alert,) = script.alerts()
    assert alert.group == {"data.connection": "Partners"}

    at(45, "Partners", "users")
    at(70, "partners", "users").expect("hook", {"resolved missing"})
    assert len(script.alerts()) == 1


def test_what_does_not_follow_is_told_with_what_it_should_have_followed(start: Start) -> None:
    script = start(LEFT_OFF)
    off = {"type": "gd_unenroll", "ip": "203.0.113.9", "at": 0}

    script.at(0).events({**off, "user_id": "auth0|1"}, {**off, "user_id": "auth0|2"})
    script.at(10 * MINUTE).events({"at": 600, "type": "gd_enrollment_complete", "user_id": "auth0|1"})
    script.at(35 * MINUTE).expect("hook", {"firing left_off"})

    (alert,) = script.alerts()
    assert alert.group == {"data.user_id": "auth0|2"}
    assert [value.text for value in alert.evidence.values["data.ip"]] == ["203.0.113.9"]


def test_the_clock_closes_a_spike_when_nothing_more_comes(start: Start) -> None:
    rules = f"""title: spike
name: spike
{HEAD}detection: {{failed: {{data.type: fp}}, condition: failed}}
tocsin:
    correlate: {{type: spike, bucket: 10m, baseline: {{method: ewma, history: 2h, min_history: 20m}},
        condition: {{times: 3, min_count: 5}}}}
    alert: {{context: [data.ip]}}
"""
    assert START.minute % 10 == 0
    script = start(rules)
    for minute in (0, 10):
        script.at(minute * MINUTE).events({"at": minute * MINUTE, "type": "fp", "ip": "198.51.100.4"})
    burst = [{"at": 20 * MINUTE + n, "type": "fp", "ip": "203.0.113.9"} for n in range(20)]

    script.at(21 * MINUTE).events(*burst).expect("hook")
    script.at(35 * MINUTE).expect("hook", {"firing spike"})

    (alert,) = script.alerts()
    assert alert.score == 20
    assert [(value.text, value.count) for value in alert.evidence.values["data.ip"]] == [("203.0.113.9", 20)]


def test_a_new_country_is_told_by_the_clock_with_its_evidence(start: Start) -> None:
    rules = f"""title: new country
name: new
{HEAD}detection: {{login: {{data.type: s}}, condition: login}}
tocsin:
    correlate:
        type: first_seen
        field: data.location_info.country_code
        group-by: [data.user_name]
        learn: 10m
    alert: {{context: [data.ip, data.location_info.country_code]}}
"""
    script = start(rules)
    script.at(0).events(login(0, location_info={"country_code": "ES"}))
    script.at(15 * MINUTE).events(
        login(15 * MINUTE, location_info={"country_code": "BR"}, ip="203.0.113.9", user_name="Ann")
    )

    script.at(20 * MINUTE).expect("hook", {"firing new"})

    (alert,) = script.alerts()
    assert alert.group == {"data.user_name": "Ann"}
    assert [value.text for value in alert.evidence.values["data.ip"]] == ["203.0.113.9"]
