"""What the on-call sees, to the letter: compare with `tests/data/golden/` (write it anew: `GOLDEN=write`)."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tocsin.alerts.decision import Reason
from tocsin.alerts.render import Renderer
from tocsin.model.alert import Evidence, Value

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
NOW = datetime(2015, 3, 27, 14, 10, tzinfo=UTC)
ENDED_MS = 1_427_468_889_000


@pytest.fixture
def sends(alert_of, send_of):
    stuffing = alert_of(
        2,
        rule="many_users_from_ip",
        severity="critical",
        score=200,
        floor=True,
        annotations={
            "headline": '{{ score }} user names tried from {{ group["data.ip"] }}',
            "rule_title": "Many users from one IP address",
            "runbook": "https://runbooks.example/stuffing",
            "timespan": "1h",
        },
        evidence=Evidence(
            total=1264,
            values={"data.user_name": [Value(f"user{n}@example.com", 20 - n) for n in range(12)]},
            approximate=True,
        ),
    )
    ended = {"status": "resolved", "resolved_ms": ENDED_MS}
    return {
        "firing": send_of([alert_of(1)]),
        "resolved": send_of([], [alert_of(1, **ended)], Reason.RESOLVED),
        "repeat": send_of([alert_of(1, score=400)], (), Reason.REPEAT),
        "history": send_of([], [alert_of(1, **ended)], Reason.FIRST),
        "group": send_of([stuffing, alert_of(1)], [alert_of(3, severity="low", **ended)], Reason.NEW),
        "warming": send_of([alert_of(1, warming=True)]),
        "merged": send_of([], [alert_of(1, merged_into="00000000000000aa", **ended)], Reason.RESOLVED),
    }


def as_text(body: dict) -> str:
    if set(body) == {"text", "lines"}:
        return "\n".join(f"{style:>13} | {line}".rstrip() for style, line in body["lines"]) + "\n"
    if "html" in body:
        return f"Subject: {body['subject']}\n\n{body['text']}\n{'-' * 72}\n{body['html']}\n"
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", ["firing", "repeat", "resolved", "history", "group", "merged", "warming"])
@pytest.mark.parametrize("channel", ["console", "slack", "email", "webhook"])
def test_a_message_reads_as_it_was_agreed(channel, name, sends, renderer):
    notification = renderer.render(sends[name], channel, "oncall", NOW)
    path = GOLDEN / f"{channel}_{name}.txt"

    text = f"# {notification.status}, {notification.severity}: {notification.summary}\n" + as_text(
        notification.body
    )
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")

    assert text == path.read_text(encoding="utf-8")


def test_a_message_without_templates_still_says_everything(sends):
    plain = Renderer([], external_url="https://tocsin.example")

    body = plain.render(sends["firing"], "console", "terminal", NOW).body

    for fact in ("24.151.103.17", "157", "root (80)", "failed_logins_from_ip", "2015-03-27 13:08:09 UTC"):
        assert fact in body["text"]
    assert "there is no template console.j2" in body["text"]


def test_times_are_shown_in_the_zone_of_the_settings(sends, templates):
    berlin = Renderer([templates], timezone="Europe/Berlin")

    assert (
        "2015-03-27 14:08:09 CET" in berlin.render(sends["firing"], "console", "terminal", NOW).body["text"]
    )


def test_there_is_no_link_without_an_external_url(sends, templates):
    body = Renderer([templates]).render(sends["firing"], "slack", "oncall", NOW).body

    assert not [block for block in body["blocks"] if block["type"] == "actions"]
