"""Alerts and decisions to render and to plan with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tocsin.alerts.decision import Reason, Send
from tocsin.alerts.render import Renderer
from tocsin.clock import from_ms
from tocsin.model.alert import Alert, Evidence, Value
from tocsin.model.notification import LastNotified

START_MS = 1_427_461_689_000  # 2015-03-27T13:08:09Z
TEMPLATES = Path(__file__).parents[3] / "alerts" / "templates"
EVIDENCE = Evidence(
    total=157,
    events=["90020150327130809000000000000000000000000000000000000001"],
    values={
        "data.user_name": [Value("root", 80), Value("admin", 40), Value("oracle", 37)],
        "data.type": [Value("fp", 120), Value("fu", 36), Value("brand_new", 1)],
        "data.user_agent": [Value("python-requests/2.31", 157)],
    },
)


def make_alert(number: int = 0, **more: Any) -> Alert:
    fields: dict[str, Any] = {
        "id": f"{number:016x}",
        "fingerprint": "f" * 16,
        "tenant": "acme",
        "rule": "failed_logins_from_ip",
        "rule_id": "baa1bd33",
        "type": "event_count",
        "severity": "high",
        "started_ms": START_MS,
        "last_ms": START_MS + 3_600_000,
        "score": 157,
        "fired_ms": START_MS,
        "found_ms": START_MS,
        "group": {"data.ip": "24.151.103.17"},
        "trigger": {"data.user_name": "root@example.com"},
        "labels": {"rule": "failed_logins_from_ip", "tenant": "acme", "entity": "ip:24.151.103.17"},
        "annotations": {
            "headline": '{{ score }} failed logins from {{ group["data.ip"] }} in {{ timespan }}',
            "rule_title": "Many failed logins from one IP address",
            "description": "One address keeps failing to log in.",
            "runbook": "1. Look for a success after the failures.\n2. Block the address.",
            "timespan": "10m",
            "tags": "attack.t1110.001",
        },
        "evidence": EVIDENCE,
    }
    return Alert(**(fields | more))


def make_send(
    firing: Sequence[Alert], resolved: Sequence[Alert] = (), reason: Reason = Reason.FIRST, **labels: str
) -> Send:
    return Send(
        id="0123456789abcdef01234567",
        group_key="{}:{}",
        channel="oncall",
        route="{}",
        labels=labels or {"entity": "ip:24.151.103.17"},
        firing=list(firing),
        resolved=list(resolved),
        reason=reason,
        news=frozenset(alert.id for alert in [*firing, *resolved]),
        last=LastNotified(at=from_ms(START_MS), sequence=1),
        unheard=frozenset(
            alert.id
            for alert in [*firing, *(resolved if reason is Reason.FIRST else ())]
            if reason in (Reason.FIRST, Reason.NEW)
        ),
    )


@pytest.fixture(scope="session")
def alert_of() -> Callable[..., Alert]:
    return make_alert


@pytest.fixture(scope="session")
def send_of() -> Callable[..., Send]:
    return make_send


@pytest.fixture(scope="session")
def templates() -> Path:
    return TEMPLATES


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer([TEMPLATES], external_url="https://tocsin.example/")
