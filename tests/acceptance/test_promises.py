"""What an operator is promised, told as scripts with a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tocsin.clock import to_ms
from tocsin.model.compiled import RuleSet
from tocsin.state.connection import Store

from .script import START, Play, fails, play

RULES = """
title: Guessing
name: guessing
logsource: {product: auth0}
detection: {seen: {data.type: fp}, condition: seen}
level: medium
tocsin:
    correlate: {type: event_count, group-by: [data.ip], timespan: 60s, condition: {gte: 3}}
    alert: {resolve_after: 2m, severity: [{gte: 6, is: high}], context: [data.user_name]}
---
title: Spraying
name: spraying
logsource: {product: auth0}
detection: {seen: {data.type: fp}, condition: seen}
level: medium
tocsin:
    correlate:
        {type: value_count, group-by: [data.ip], timespan: 60s, condition: {gte: 3, field: data.user_name}}
    alert: {resolve_after: 2m}
---
title: Quiet afterwards
name: lonely
logsource: {product: auth0}
detection: {seen: {data.type: limit_mu}, condition: seen}
level: low
tocsin:
    correlate: {type: event_count, group-by: [data.ip], timespan: 30s, condition: {lte: 1}}
    alert: {resolve_after: 2m}
"""
AT_ONCE = """
route: {channels: [hook], group_by: [entity], group_wait: 0s, group_interval: 0s, repeat_interval: 4h}
"""
PATIENT = """
route: {channels: [hook], group_by: [entity], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}
"""
IP, OTHER = "203.0.113.9", "198.51.100.7"
THREE = ("ann", "bob", "cy")
Start = Callable[..., Play]


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Start]:
    running: list[AbstractContextManager[Play]] = []

    def begin(routing: str = AT_ONCE, rules: str = RULES, **more: Any) -> Play:
        running.append(play(store, tmp_path, rules, routing, **more))
        return running[-1].__enter__()

    yield begin
    for one in running:
        one.__exit__(None, None, None)


def later(play_: Play, seconds: float, ip: str = "192.0.2.99") -> Play:
    """An event of no interest then: event time goes on."""
    return play_.at(seconds).events({"at": seconds, "type": "s", "ip": ip})


def test_one_attacker_who_trips_several_rules_is_one_message(start: Start) -> None:
    script = start()

    script.at(10).events(*fails(IP, 7, 8, 9, users=THREE))

    script.expect("hook", {"firing guessing", "firing spraying"})


def test_two_attackers_are_two_messages(start: Start) -> None:
    script = start()

    script.at(10).events(*fails(IP, 7, 8, 9), *fails(OTHER, 7, 8, 9))

    script.expect("hook", {"firing guessing"}, {"firing guessing"})


def test_a_group_gathers_then_waits_its_turn_then_is_repeated(start: Start) -> None:
    script = start(PATIENT, RULES.replace("resolve_after: 2m", "resolve_after: 1d"))
    script.at(10).events(*fails(IP, 7, 8, 9))

    script.at(39).expect("hook")
    script.at(40).expect("hook", {"firing guessing"})
    script.at(50).events(*fails(IP, 47, 48, 49, users=THREE))
    script.at(339).expect("hook")
    script.at(340).expect("hook", {"firing guessing", "firing spraying"})
    script.at(340 + 4 * 3600 - 1).expect("hook")
    script.at(340 + 4 * 3600).expect("hook", {"firing guessing", "firing spraying"})


def test_an_end_is_told_to_whoever_was_told_the_beginning_and_to_nobody_else(start: Start) -> None:
    script = start(AT_ONCE.replace("[hook]", "[hook, other]"))
    script.at(1).silence("rule=spraying", 7200)
    script.at(10).events(*fails(IP, 7, 8, 9, users=THREE))
    script.expect("hook", {"firing guessing"}).expect("other", {"firing guessing"})

    later(script, 200)

    script.expect("hook", {"resolved guessing"}).expect("other", {"resolved guessing"})
    assert [alert.status for alert in script.alerts()] == ["resolved", "resolved"]


def test_a_silence_that_ends_lets_out_what_still_fires(start: Start) -> None:
    script = start(rules=RULES.replace("resolve_after: 2m", "resolve_after: 1d"))
    script.at(1).silence("severity=medium", 600)

    script.at(10).events(*fails(IP, 7, 8, 9))

    script.at(600).expect("hook")
    script.at(601).expect("hook", {"firing guessing"})


def test_history_is_one_message_when_recent_and_held_when_old(start: Start) -> None:
    script = start(more="notify_max_age: 1h\n")

    script.at(10).events(*fails(IP, -9000, -8999, -8998))
    script.expect("hook")
    script.at(11).events(*fails(OTHER, -1800, -1799, -1798), {"at": 10, "type": "s", "ip": IP})

    assert sorted(alert.status for alert in script.alerts()) == ["resolved", "resolved"]
    script.expect("hook", {"resolved guessing"})
    assert script.parts.alerts.unsettled() == []


def test_a_dead_letter_is_told_on_another_channel(start: Start) -> None:
    script = start()
    script.hooks["hook"].answers = [410]

    script.at(10).events(*fails(IP, 7, 8, 9))

    script.expect("hook").expect("other", {"firing tocsin_dead_letter"})
    assert [d.status for d in script.parts.outbox.find(status="dead")] == ["dead"]


def test_a_channel_that_fails_for_a_while_gets_its_message_later_and_once(start: Start) -> None:
    script = start(rules=RULES.replace("resolve_after: 2m", "resolve_after: 1d"))
    script.hooks["hook"].answers = [503, 500, 429]

    script.at(10).events(*fails(IP, 7, 8, 9))
    script.at(600)

    script.expect("hook", {"firing guessing"}).expect("other")


def test_a_severity_that_rises_is_told(start: Start) -> None:
    script = start()
    script.at(10).events(*fails(IP, 7, 8, 9))
    script.expect("hook", {"firing guessing"})

    script.at(12).events(*fails(IP, 10, 11))
    script.expect("hook")
    script.at(14).events(*fails(IP, 13))

    script.expect("hook", {"firing guessing"})
    assert script.hooks["hook"].got[-1]["alerts"][0]["severity"] == "high"


def test_a_late_event_that_joins_two_episodes_is_told_once(start: Start) -> None:
    script = start(rules=RULES.replace("resolve_after: 2m", "resolve_after: 20s"))
    script.at(58).events(*fails(IP, 1, 2, 3, 55, 56, 57))
    assert len(script.alerts()) == 2
    script.expect("hook", {"firing guessing"})

    script.at(60).events(*fails(IP, 20, 38))

    script.expect("hook", {"firing guessing", "resolved guessing"})
    (alive,) = [alert for alert in script.alerts() if not alert.merged_into]
    assert (alive.started_ms - to_ms(START), alive.last_ms - to_ms(START)) == (3_000, 57_000)
    later(script, 140).expect("hook", {"resolved guessing"})
    assert script.parts.alerts.unsettled() == []


def test_tenants_never_meet(start: Start) -> None:
    script = start()

    script.at(10).events(*fails(IP, 7, 8, tenant_name="a"), *fails(IP, 9, tenant_name="b"))
    script.expect("hook")
    script.at(11).events(*fails(IP, 10, tenant_name="b"), *fails(IP, 10, tenant_name="a"))

    assert [(alert.tenant, alert.score) for alert in script.alerts()] == [("a", 3)]


def raising(ruleset: RuleSet) -> RuleSet:
    """The guessing rule fails on events of one user."""

    def matches(event: Any) -> bool:
        if event.fields.get("user_name") == "bob":
            raise ValueError("a bug in a rule")
        return True

    first, *others = ruleset.rules
    broken = replace(first.matchers[0], matches=matches)
    return replace(ruleset, rules=(replace(first, matchers=(broken,)), *others))


def test_a_rule_that_fails_on_an_event_stops_neither_others_nor_its_own_next(start: Start) -> None:
    script = start(change=raising)

    script.at(10).events(*fails(IP, 5, 6, 7, users=THREE), *fails(IP, 8))

    script.expect("hook", {"firing guessing", "firing spraying"})
    assert [alert.score for alert in script.alerts()] == [3, 3]


POISON = [
    b"{not json",
    b'{"a": NaN}',
    b'{"log_id": "x", "data": {"type": "fp", "date": "2026-03-01T12:00:00Z", "user_name": "\\ud800"}}',
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'"text"',
    b'{"log_id": "no-date", "data": {"type": "fp", "ip": "203.0.113.9"}}',
    b'{"log_id": "bad-date", "data": {"type": "fp", "date": "yesterday"}}',
    b'{"log_id": "future", "data": {"type": "fp", "date": "2026-03-01T13:00:00Z", "ip": "203.0.113.9"}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("poison", POISON, ids=range(len(POISON)))
def test_a_poison_record_is_quarantined_and_the_good_ones_beside_it_count(
    start: Start, poison: bytes
) -> None:
    script = start()
    template = (
        b'{"log_id":"g%d","data":{"log_id":"g%d","type":"fp","date":"2026-03-01T12:00:00.000Z",'
        b'"ip":"203.0.113.9","user_name":"ann","tenant_name":"acme"}}'
    )
    good = [template % (n, n) for n in range(3)]

    script.at(10).body(b"\n".join([good[0], poison, *good[1:]]))

    script.expect("hook", {"firing guessing"})
    assert len(script.parts.quarantine.find()) == 1
    assert script.parts.positions.load("tenant")[0] is not None


def test_a_body_of_nothing_but_poison_is_passed(start: Start) -> None:
    script = start()

    script.at(1).body(b"{{{{")
    script.at(10).events(*fails(IP, 7, 8, 9))

    script.expect("hook", {"firing guessing"})


def test_a_future_record_neither_closes_a_window_nor_makes_the_present_late(start: Start) -> None:
    script = start()
    script.at(10).events(*fails(IP, 7, 8))

    script.at(11).events(
        {"at": 11 + 301, "type": "fp", "ip": OTHER}, {"at": 11 + 299, "type": "s", "ip": OTHER}
    )
    script.at(12).events(*fails(IP, 12))

    script.expect("hook", {"firing guessing"})
    assert [alert.late for alert in script.alerts()] == [False]
    assert [reason for _, _, (reason, _, _) in script.parts.quarantine.find()] == [
        "more than 5 min in the future"
    ]


def test_while_all_is_quiet_the_clock_closes_windows_and_episodes(start: Start) -> None:
    script = start()
    script.at(10).events(*fails(IP, 7, 8, 9), {"at": 9, "type": "limit_mu", "ip": OTHER})
    script.expect("hook", {"firing guessing"})

    script.at(500)

    script.expect("hook", {"firing lonely"}, {"resolved guessing"}, {"resolved lonely"})


def test_the_clock_closes_nothing_while_a_backlog_is_read(start: Start) -> None:
    script = start()
    for at in range(0, 3000, 50):  # an hour-old backlog, read slowly
        script.at(at).events(*fails(IP, at - 4000, at - 3999, at - 3998))

    assert [alert.status for alert in script.alerts()] == ["firing"]
    assert not script.alerts()[0].late


def test_slack_mail_and_webhook_all_tell_it(start: Start) -> None:
    script = start(AT_ONCE.replace("[hook]", "[hook, chat, mail]"))

    script.at(10).events(*fails(IP, 7, 8, 9))

    script.expect("hook", {"firing guessing"})
    (message,) = script.mailbox.got
    assert "Guessing" in message["subject"]
    assert len(script.hooks["chat"].got) == 1
    assert "Guessing" in str(script.hooks["chat"].got[0])


def test_a_folder_with_one_template_leaves_the_others_as_they_are(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "slack.j2").write_text("{% block header %}Mine{% endblock %}")
    script = start(AT_ONCE.replace("[hook]", "[chat, mail]"), more="templates: [mine]\n")

    script.at(10).events(*fails(IP, 7, 8, 9))

    (message,) = script.mailbox.got
    assert message.get_body(("html",)) is not None


def test_an_alert_that_opens_again_while_it_is_settled_stays_unsettled(start: Start) -> None:
    script = start(rules=RULES.replace("resolve_after: 2m", "resolve_after: 5s"))
    script.at(10).events(*fails(IP, -2, -1, 0)).expect("hook", {"firing guessing"})
    script.at(69).arrives({"at": 69, "type": "s", "ip": OTHER}).detected()
    (planned,) = script.parts.alerts.unsettled()
    assert planned.status == "resolved"

    script.arrives(*fails(IP, 4)).detected()  # while the notify loop is about to settle it
    script.parts.alerts.settle([planned.id])

    assert [alert.status for alert in script.parts.alerts.unsettled()] == ["firing"]
