"""`tocsin outbox` and `tocsin silence`, on stores in memory."""

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tocsin.cli import outbox, silence
from tocsin.model.notification import Dead, LastNotified, Notification, Sent
from tocsin.model.silence import Silence, parse_matcher
from tocsin.state.outbox_memory import MemoryOutbox
from tocsin.state.silences import MemorySilences

T = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def state(monkeypatch):
    made = SimpleNamespace(outbox=MemoryOutbox(), silences=MemorySilences())

    @contextmanager
    def open_state(config):
        yield made

    monkeypatch.setattr(outbox, "open_state", open_state)
    monkeypatch.setattr(silence, "open_state", open_state)
    return made


def run(app, *arguments: str):
    return CliRunner().invoke(app, list(arguments))


def put(state, id_: str, outcome=None, summary="12 failed logins") -> None:
    note = Notification(
        id=id_, channel="oncall", group_key=id_, status="firing", severity="high", summary=summary,
        alert_ids=(), body={}, created_at=T,
    )  # fmt: skip
    state.outbox.put(note, LastNotified(at=T, sequence=1))
    if outcome is not None:
        (delivery,) = state.outbox.lease("oncall", T, limit=1, ttl=timedelta(minutes=1))
        state.outbox.settle(delivery, outcome, T + timedelta(seconds=1))


def test_outbox_list_is_one_plain_line_a_notification(state):
    put(state, "n1", Sent("200"))
    put(state, "n2", Dead("403 invalid_token"))
    put(state, "n3")

    result = run(outbox.app, "list")

    assert result.output.splitlines() == [
        "n3\tqueued\toncall\thigh\t0\t2026-03-01T12:00:00.000Z\t12 failed logins\t",
        "n2\tdead\toncall\thigh\t1\t2026-03-01T12:00:01.000Z\t12 failed logins\t403 invalid_token",
        "n1\tsent\toncall\thigh\t1\t2026-03-01T12:00:01.000Z\t12 failed logins\t200",
    ]


def test_outbox_list_by_status_and_limit(state):
    put(state, "n1", Dead("x"))
    put(state, "n2", Dead("x"))
    put(state, "n3")

    assert run(outbox.app, "list", "--status", "dead", "--limit", "1").output.startswith("n2\tdead")
    assert run(outbox.app, "list", "--status", "resent").output == ""
    assert run(outbox.app, "list", "--status", "lost").exit_code == 2


def test_what_an_attacker_wrote_cannot_forge_a_line_or_move_the_cursor(state):
    put(state, "n1", summary="a\nn2\tsent\x1b[2J\u202eb")

    (line,) = run(outbox.app, "list").output.splitlines()

    assert line.split("\t")[6] == r"a n2 sent\x1b[2J\x202eb"


def test_outbox_retry_sends_dead_letters_again(state):
    put(state, "n1", Dead("x"))
    put(state, "n2", Dead("x"))

    assert run(outbox.app, "retry", "n1").output == "1 queued again\n"

    assert [d.notification.id for d in state.outbox.find(status="queued")] == ["n1"]
    assert run(outbox.app, "retry", "--all-dead").output == "1 queued again\n"
    assert state.outbox.find(status="dead") == []


def test_outbox_retry_of_what_is_not_dead_fails_by_name(state):
    put(state, "n1", Sent())

    result = run(outbox.app, "retry", "n1", "n9")

    assert result.exit_code == 1
    assert "n1: no dead letter" in result.output
    assert "n9: no dead letter" in result.output


@pytest.mark.parametrize("arguments", [[], ["n1", "--all-dead"]])
def test_outbox_retry_wants_ids_or_all(state, arguments):
    assert run(outbox.app, "retry", *arguments).exit_code == 2


def test_silence_add_holds_matching_alerts_back(state):
    result = run(
        silence.app, "add", 'severity=~"low|medium"', "rule=spray", "--for", "2h", "--comment", "known"
    )

    (added,) = state.silences.list()
    assert result.output == added.id + "\n"
    assert re.fullmatch(r"[0-9a-f]{8}", added.id)
    assert added.ends_at - added.starts_at == timedelta(hours=2)
    assert added.comment == "known"
    assert added.mutes({"severity": "low", "rule": "spray"}, added.starts_at)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["severity", "--for", "2h"], "not a matcher"),
        (["a=~(", "--for", "2h"], "regular expression"),
        (["a=b", "--for", "soon"], "not a duration"),
        (["a=b", "--for", "0s"], "longer than nothing"),
        (["a=b", "--for", "999999999d"], "too long|range|overflow"),
        (["a=b"], "--for"),
        (["--for", "2h"], "MATCHER"),
    ],
)
def test_silence_add_says_what_is_wrong(state, arguments, message):
    result = run(silence.app, "add", *arguments)

    assert result.exit_code == 2
    assert re.search(message, re.sub(r"[^\S ]|[│─╭╮╰╯]", "", result.output))
    assert state.silences.list() == []


def hold(state, id_: str, hours: int) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - the command looks at the real clock
    ends = now + timedelta(hours=hours)
    state.silences.add(
        Silence(
            id=id_,
            matchers=(parse_matcher("a=b"),),
            starts_at=now - timedelta(days=1),
            ends_at=ends,
            comment="c",
        )
    )


def test_silence_list_shows_what_holds_and_with_all_what_ended(state):
    hold(state, "old", -1)
    hold(state, "now", 1)

    assert [line.split("\t")[:2] for line in run(silence.app, "list").output.splitlines()] == [
        ["now", "active"]
    ]
    both = [line.split("\t") for line in run(silence.app, "list", "--all").output.splitlines()]
    assert [row[:2] for row in both] == [["old", "ended"], ["now", "active"]]
    assert both[0][3:] == ['a="b"', "", "c"]


def test_silence_expire_ends_it(state):
    hold(state, "s1", 1)

    assert run(silence.app, "expire", "s1").exit_code == 0

    assert run(silence.app, "list").output == ""
    missing = run(silence.app, "expire", "s9")
    assert missing.exit_code == 1
    assert "s9: there is no such silence" in missing.output


@pytest.mark.parametrize("app", [outbox.app, silence.app])
def test_a_person_gets_a_table(state, monkeypatch, app):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    put(state, "n1")
    hold(state, "s1", 1)

    out = run(app, "list").output

    assert "ID" in out
    assert "n1" in out or "s1" in out
    assert "\t" not in out
