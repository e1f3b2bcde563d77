from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from tocsin.alerts import headline
from tocsin.alerts.decision import Reason
from tocsin.alerts.facts import message_facts
from tocsin.alerts.render import Renderer, check_templates, title
from tocsin.errors import ConfigError

TEMPLATES = Path(__file__).parents[3] / "alerts" / "templates"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BROKEN = {
    "a typo in a name": "{{ mesage.headline }}",
    "a syntax error": "{% if %}",
    "a bomb": "{% for a in range(1000) %}" + "x" * 100 + "{% endfor %}",
    "an include": "{% include '/etc/passwd' %}",
    "an object": "{{ message.alerts }}",
}
FILES = {"console": "console.j2", "slack": "slack.j2", "email": "email.html.j2", "pager": "pager.j2"}


@pytest.fixture
def example(alert_of, send_of):
    return send_of([alert_of()])


@pytest.fixture(autouse=True)
def _fresh():
    headline._compiled.cache_clear()
    headline._tell_once.cache_clear()


@pytest.mark.parametrize("channel", FILES)
@pytest.mark.parametrize("mistake", BROKEN)
def test_a_failing_template_costs_its_looks_and_never_the_alert(channel, mistake, tmp_path, example):
    source = BROKEN[mistake]
    if channel == "slack":
        source = "{% block header %}" + source + "{% endblock %}"
    (tmp_path / FILES[channel]).write_text(source, encoding="utf-8")
    renderer = Renderer([tmp_path, TEMPLATES])

    with structlog.testing.capture_logs() as logs:
        notification = renderer.render(example, channel, "oncall", NOW)

    assert "157 failed logins from 24.151.103.17" in notification.summary
    text = str(notification.body)
    for fact in ("24.151.103.17", "root (80)", "failed_logins_from_ip", "the template failed: "):
        assert fact in text
    assert [(entry["event"], entry["channel"]) for entry in logs] == [("template.failed", "oncall")]


def test_a_template_of_ones_own_comes_before_the_shipped_one(tmp_path, templates, alert_of, send_of):
    (tmp_path / "console.j2").write_text("high| own: {{ message.headline }}", encoding="utf-8")

    body = Renderer([tmp_path, templates]).render(send_of([alert_of()]), "console", "terminal", NOW).body

    assert body["lines"] == [["high", "own: 157 failed logins from 24.151.103.17 in 10m"]]


def test_a_channel_type_without_a_template_gets_the_plain_message(renderer, alert_of, send_of):
    body = renderer.render(send_of([alert_of()]), "apprise", "phone", NOW).body

    assert body["title"] == "HIGH 157 failed logins from 24.151.103.17 in 10m"
    assert "root (80)" in body["text"]


def test_an_own_template_for_any_channel_type_is_used(tmp_path, alert_of, send_of):
    (tmp_path / "apprise.j2").write_text("{{ message.severity }}!", encoding="utf-8")

    assert Renderer([tmp_path]).render(send_of([alert_of()]), "apprise", "phone", NOW).body["text"] == "high!"


def test_all_that_is_wrong_with_the_templates_is_told_at_once(tmp_path, templates):
    (tmp_path / "console.j2").write_text("a\n{% if %}", encoding="utf-8")
    (tmp_path / "email.txt.j2").write_bytes(b"\xff")

    with pytest.raises(ConfigError) as caught:
        check_templates([tmp_path, templates])

    assert "console.j2: line 2: " in str(caught.value)
    assert "email.txt.j2: cannot be read" in str(caught.value)


def test_the_shipped_templates_are_right(templates):
    check_templates([templates])


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ('{{ score }} logins from {{ group["data.ip"] }}', "157 logins from 24.151.103.17"),
        (
            "{{ severity }} {{ rule }} {{ timespan }} {{ count }} {{ tenant }}",
            "high failed_logins_from_ip 10m 157 acme",
        ),
        ("at {{ started_at }}", "at 2015-03-27 13:08:09 UTC"),
        ("{{ params.threshold }} or more", "20 or more"),
        ("no braces", "no braces"),
        ("{{ scoer }} logins", "Many failed logins from one IP address"),
        ("{{ group['nothing'] }}", "Many failed logins from one IP address"),
        ("{% if %}", "Many failed logins from one IP address"),
        ("{{ 'a' * 10**9 }}", "Many failed logins from one IP address"),
        ("{{ '' }}", "Many failed logins from one IP address"),
        ("", "Many failed logins from one IP address"),
    ],
)
def test_a_headline_is_filled_in_and_a_wrong_one_falls_back_to_the_rules_title(source, shown, alert_of):
    plain = alert_of()
    alert = alert_of(annotations=plain.annotations | {"headline": source, "params": '{"threshold": 20}'})

    assert title(alert) == shown


def test_a_score_that_is_only_a_floor_says_so(alert_of):
    assert title(alert_of(score=200, floor=True)) == "200+ failed logins from 24.151.103.17 in 10m"


def test_a_score_of_a_sample_says_so_in_a_message_and_stays_a_number_in_a_title(renderer, alert_of, send_of):
    alert = alert_of(score=0.686, sampled=True)

    assert title(alert).startswith("0.686 failed logins")
    assert "Score:        0.686 (sampled) in 10m" in _email(renderer, send_of([alert]))


def test_the_score_of_rules_that_hold_at_one_instant_is_how_many(renderer, alert_of, send_of):
    plain = alert_of()
    alert = alert_of(score=2, type="temporal", annotations=plain.annotations | {"timespan": "1s"})

    assert "Score:        2 of its rules, " in _email(renderer, send_of([alert]))


def test_what_was_over_at_once_lasted_for_nothing(renderer, alert_of, send_of):
    plain = alert_of()
    alert = alert_of(last_ms=plain.started_ms, status="resolved", resolved_ms=plain.started_ms + 3_600_000)

    assert "lasted" not in _email(renderer, send_of([], [alert]))


@pytest.mark.parametrize(
    ("score", "shown"), [(3.5, "3.5"), (2 / 3, "0.667"), (float("inf"), "inf"), (4.0, "4")]
)
def test_a_score_is_shown_without_needless_digits(score, shown, alert_of):
    assert title(alert_of(score=score)).split()[0] == shown


def test_an_event_that_looks_like_a_template_arrives_literally(renderer, alert_of, send_of):
    alert = alert_of(group={"data.ip": "{{7*7}}"})

    for channel in ("console", "slack", "email", "webhook"):
        assert "{{7*7}}" in str(renderer.render(send_of([alert]), channel, "c", NOW).body)


def test_a_wrong_headline_is_logged_once(alert_of):
    alert = alert_of(annotations={"headline": "{{ nothing }}", "rule_title": "t"})

    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            title(alert)

    assert [(entry["event"], entry["rule"]) for entry in logs] == [
        ("headline.failed", "failed_logins_from_ip")
    ]


def test_a_crowd_lists_the_twenty_worst_and_says_how_many_more(renderer, alert_of, send_of):
    crowd = [alert_of(n) for n in range(50)]

    for channel in ("console", "slack", "email"):
        assert "and 30 more alerts" in str(renderer.render(send_of(crowd), channel, "c", NOW).body)
    webhook = renderer.render(send_of(crowd, reason=Reason.NEW), "webhook", "c", NOW)
    assert (len(webhook.body["alerts"]), webhook.body["more"]) == (20, 30)
    assert len(webhook.alert_ids) == 50


def test_every_fact_a_template_may_use_is_in_the_templates_readme(alert_of, send_of):
    told = (TEMPLATES / "README.md").read_text(encoding="utf-8")
    message = message_facts(send_of([alert_of(1)]), {alert_of(1).id: "t"}, external_url="", zone=UTC)

    missing = [name for name in [*message, *message["alerts"][0]] if f"`{name}`" not in told]

    assert missing == []


def _email(renderer, send):
    return str(renderer.render(send, "email", "mail", NOW).body["text"])
