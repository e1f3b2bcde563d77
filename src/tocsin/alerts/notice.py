"""What tocsin says about itself: a heartbeat, a test, a message that could not be delivered.

A notice is a message like any other, about an alert that no rule made, so that every channel's
template can show it.
"""

from __future__ import annotations

from datetime import datetime

from tocsin.alerts.decision import Reason, Send
from tocsin.clock import to_ms
from tocsin.model.alert import Alert, Evidence, Value, alert_id, fingerprint
from tocsin.model.notification import LastNotified
from tocsin.model.rule import Severity

NOTICE = "notice:"  # how the group of every notice begins


def notice(
    kind: str, *, channel: str, about: str, severity: Severity, title: str, text: str, now: datetime
) -> Send:
    """A message about `about` for one channel; the same arguments give the same id.

    `kind` is shown where a rule's name is (`tocsin_heartbeat`). `title` is no template.
    """
    mark = fingerprint("", kind, f"{about}\0{channel}")
    alert = Alert(
        id=alert_id(mark, to_ms(now)),
        fingerprint=mark,
        tenant="",
        rule=kind,
        rule_id=kind,
        severity=severity,
        started_ms=to_ms(now),
        last_ms=to_ms(now),
        fired_ms=to_ms(now),
        found_ms=to_ms(now),
        score=1,
        group={"about": about},
        labels={"rule": kind, "severity": severity, "entity": f"tocsin:{about}"},
        annotations={"rule_title": title, "description": text},
    )
    return _send(alert, channel, now)


def sample(channel: str, now: datetime) -> Send:
    """What an alert looks like in this channel: for `tocsin send-test`. Documentation addresses only."""
    mark = fingerprint("", "tocsin_send_test", channel)
    at_ms = to_ms(now)
    alert = Alert(
        id=alert_id(mark, at_ms),
        fingerprint=mark,
        tenant="example",
        rule="tocsin_send_test",
        rule_id="tocsin_send_test",
        severity="low",
        started_ms=at_ms - 600_000,
        last_ms=at_ms,
        fired_ms=at_ms,
        found_ms=at_ms,
        score=157,
        group={"data.ip": "203.0.113.9"},
        labels={
            "rule": "tocsin_send_test",
            "severity": "low",
            "tenant": "example",
            "entity": "ip:203.0.113.9",
        },
        annotations={
            "headline": "This is a test: {{ score }} failed logins from 203.0.113.9 in {{ timespan }}",
            "rule_title": "A test of this channel",
            "description": "Nothing happened. Somebody ran `tocsin send-test` to see what it looks like.",
            "runbook": "Nothing to do.",
            "timespan": "10m",
        },
        evidence=Evidence(
            total=157,
            events=["90020260101000000000000000000000000000000000000000000001"],
            values={
                "data.user_name": [Value("ann@example.com", 12), Value("bob@example.com", 11)],
                "data.user_agent": [Value("Other 0.0.0 / Other 0.0.0", 157)],
            },
        ),
    )
    return _send(alert, channel, now)


def _send(alert: Alert, channel: str, now: datetime) -> Send:
    return Send(
        id=alert.id,
        group_key=f"{NOTICE}{alert.fingerprint}",
        channel=channel,
        route="tocsin",
        labels={"entity": alert.labels["entity"]},
        firing=[alert],
        resolved=[],
        reason=Reason.FIRST,
        news=frozenset([alert.id]),
        last=LastNotified(at=now, sequence=1, firing={alert.id: alert.severity}),
        unheard=frozenset([alert.id]),
    )
