from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from prometheus_client import generate_latest

from tocsin import telemetry
from tocsin.telemetry import REDACTED, REGISTRY, redact_text, setup_logging

CANARY = "canary5b7e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(**fields: object) -> dict[str, object]:
    """One log line as JSON."""
    out = io.StringIO()
    setup_logging(stream=out)
    structlog.get_logger("test").info("something.happened", **fields)
    return json.loads(out.getvalue())  # type: ignore[no-any-return]


def shown(**fields: object) -> str:
    """One log line on a terminal, without its colours."""
    out = Terminal()
    setup_logging(stream=out)
    structlog.get_logger("test").info("something.happened", **fields)
    return out.getvalue()


def test_away_from_a_terminal_a_line_is_one_json_object() -> None:
    entry = logged(rule="spray", count=3, text="a\nb\x1b[2J")

    assert (entry["event"], entry["level"], entry["rule"], entry["count"]) == (
        "something.happened",
        "info",
        "spray",
        3,
    )
    assert entry["text"] == "a\nb\x1b[2J"
    assert str(entry["timestamp"]).endswith("Z")


def test_json_holds_no_raw_control_characters() -> None:
    out = io.StringIO()
    setup_logging(stream=out)

    structlog.get_logger("test").info("x", text="\x1b[2J\x9b2J\u202e\u2028\nforged", **{"k\x1b": 1})

    assert out.getvalue().count("\n") == 1
    assert out.getvalue().isascii()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    "bad", ["\x1b[2J", "\x9b2J", "\r", "\u202e", "\u2066", "\u200b", "\x00", "\x07", "\x7f"]
)
def test_a_terminal_is_never_sent_what_it_would_obey(bad: str) -> None:
    line = shown(name=f"a{bad}b", nested={"k": [bad]})

    assert f"a{bad}b" not in line
    assert bad not in line.replace("\x1b[", "") if bad != "\x1b[2J" else "\x1b[2J" not in line


def test_a_terminal_shows_one_line_an_event() -> None:
    assert shown(name="a\n2026-01-01 [info] forged").count("\n") == 1


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://hooks.slack.com/services/T0/B0/canary5b7e", f"https://hooks.slack.com/{REDACTED}"),
        ("redis://user:canary5b7e@valkey:6379/0", f"redis://valkey:6379/{REDACTED}"),
        ("redis://:canary5b7e@valkey:6379", "redis://valkey:6379"),
        ("https://h?key=canary5b7e", f"https://h/{REDACTED}"),
        ("see (https://a/canary5b7e) and http://b/canary5b7e", None),
        ("Authorization: Bearer canary5b7e", f"Authorization: Bearer {REDACTED}"),
        ("basic canary5b7e==", f"basic {REDACTED}"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_urls_and_credentials_in_a_text_are_blotted_out(text: str, safe: str | None) -> None:
    assert CANARY not in redact_text(text)
    if safe is not None:
        assert redact_text(text) == safe


@pytest.mark.parametrize(
    "key",
    ["token", "password", "client_secret", "Authorization", "api_key", "webhook_url", "SLACK_WEBHOOK_URL"],
)
def test_what_is_named_like_a_secret_is_blotted_out_at_any_depth(key: str) -> None:
    entry = logged(**{key: CANARY}, outer={"list": [{key: CANARY}]}, deep=_deep({key: CANARY}, 20))

    assert CANARY not in json.dumps(entry)


def _deep(value: object, levels: int) -> object:
    return [_deep(value, levels - 1)] if levels else value


@pytest.mark.parametrize("terminal", [False, True])
def test_an_exceptions_text_is_blotted_out_and_its_locals_are_not_shown(terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    setup_logging(stream=out)
    local = CANARY

    try:
        raise ValueError(f"cannot reach https://hooks.slack.com/services/{local}")
    except ValueError:
        structlog.get_logger("test").exception("channel.failed")

    assert "ValueError" in out.getvalue()
    assert CANARY not in out.getvalue()


def test_libraries_log_in_the_same_form() -> None:
    out = io.StringIO()
    setup_logging(stream=out)

    logging.getLogger("uvicorn.error").error("at %s", f"https://h/{CANARY}")

    assert json.loads(out.getvalue())["event"] == f"at https://h/{REDACTED}"


@pytest.mark.parametrize("name", ["httpx2", "httpcore2", "apscheduler.scheduler", "uvicorn.error"])
def test_chatty_libraries_are_heard_when_they_are_in_trouble(name: str) -> None:
    out = io.StringIO()
    setup_logging(stream=out)

    logging.getLogger(name).info("HTTP Request: POST")
    logging.getLogger(name).error("trouble")

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["trouble"]


def test_below_the_level_nothing_is_written() -> None:
    out = io.StringIO()
    setup_logging(stream=out, level="warning")

    structlog.get_logger("test").info("quiet")

    assert out.getvalue() == ""


def test_setting_up_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging(stream=first)
    setup_logging(stream=second)

    structlog.get_logger("test").info("once")

    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


@pytest.mark.parametrize(
    ("metric", "labels", "line"),
    [
        ("EVENTS_ACCEPTED", {"source": "a"}, 'tocsin_events_accepted_total{source="a"}'),
        ("EVENTS_QUARANTINED", {"source": "a", "reason": "b"}, "tocsin_events_quarantined_total{"),
        ("EVENTS_LATE", {"source": "a"}, "tocsin_events_late_total{"),
        ("OBSERVATIONS_WITHOUT_GROUP", {"rule": "a"}, "tocsin_observations_without_group_total{"),
        ("GROUPS_CAPPED", {}, "tocsin_groups_capped_total"),
        ("TRIGGERS", {"rule": "a"}, "tocsin_triggers_total{"),
        ("ALERTS_CHANGED", {"rule": "a", "kind": "opened"}, "tocsin_alerts_changed_total{"),
        ("NOTIFICATIONS", {"channel": "a", "outcome": "sent"}, "tocsin_notifications_total{"),
        ("OUTBOX_WAITING", {"channel": "a"}, "tocsin_outbox_waiting{"),
        ("RULE_ERRORS", {"rule": "a"}, "tocsin_rule_errors_total{"),
        ("LOOP_ERRORS", {"loop": "a"}, "tocsin_loop_errors_total{"),
        ("INGEST_REQUESTS", {"source": "a", "status": "204"}, "tocsin_ingest_requests_total{"),
        ("SOURCE_WATERMARK_SECONDS", {"source": "a"}, "tocsin_source_watermark_seconds{"),
        ("EVENTS_UNKNOWN_CODE", {}, "tocsin_events_unknown_code_total "),
        ("BATCH_SECONDS", {}, "tocsin_batch_seconds_count "),
    ],
)
def test_every_metric_is_on_the_page(metric: str, labels: dict[str, str], line: str) -> None:
    made = getattr(telemetry, metric)
    if labels:
        made.labels(**labels)

    assert line in generate_latest(REGISTRY).decode()
