"""The console channel: coloured for people, plain in a pipe, and nobody's escape sequence."""

import io
import re
from datetime import UTC, datetime

import pytest

from tocsin.delivery.channels import CHANNELS
from tocsin.delivery.channels.console import ConsoleChannel
from tocsin.delivery.outside import Outside
from tocsin.errors import TemporaryFailure
from tocsin.model.notification import Notification


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def note(text="one\ntwo", lines=(("title", "one"), ("value", "two"))) -> Notification:
    return Notification(
        id="n1", channel="terminal", group_key="g", status="firing", severity="high", summary="s",
        alert_ids=(), body={"text": text, "lines": [list(line) for line in lines]},
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip


def shown(stream, *notes: Notification) -> str:
    channel = ConsoleChannel("terminal", outside=Outside(stream=stream))
    for each in notes:
        channel.send(each)
    return stream.getvalue()


def uncoloured(stream, *notes: Notification) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown(stream, *notes))


@pytest.fixture(autouse=True)
def terminal_of_a_person(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipe_gets_each_message_plain_on_one_line():
    assert shown(io.StringIO(), note(), note("three\n")) == "one | two\nthree\n"


def test_a_pipe_is_never_wrapped():
    assert "x" * 500 in shown(io.StringIO(), note("x" * 500))


def test_a_terminal_gets_colour_and_a_rule_between_messages():
    out = shown(Terminal(), note(lines=[("critical", "bad"), ("unheard-of style", "plain")]), note())

    assert "\x1b[1;37;41mbad\x1b[0m\n" in out
    assert "\nplain\n" in out
    assert out.count("─" * 72) == 2


def test_a_facts_label_stands_back_behind_its_value():
    out = shown(Terminal(), note(lines=[("fact", "   User name      eve"), ("evidence", "   IPs   a (3)")]))

    assert "\x1b[2m   User name      \x1b[0meve\n" in out
    assert "\x1b[2m   IPs   \x1b[0m\x1b[36ma (3)\x1b[0m\n" in out


def test_a_terminal_is_wrapped_between_words_and_under_the_value():
    out = uncoloured(Terminal(), note(lines=[("fact", "  What   one two three four five six seven eight")]))

    assert "\n  What   one two three four five six\n         seven eight\n" in out


def test_what_stands_indented_goes_on_indented():
    out = uncoloured(Terminal(), note(lines=[("muted", "  " + "word " * 12)]))

    assert [line[:6] for line in out.splitlines()[1:]] == ["  word"] * 2


def test_a_long_word_stays_whole():
    assert "x" * 500 in shown(Terminal(), note(lines=[("value", "x" * 500)]))


def test_a_person_who_wants_no_colour_gets_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[37" not in shown(Terminal(), note(lines=[("critical", "bad")]))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\x9b2J", "\r", "\x00", "\x07", "\u202e", "\u200b", "\ud800", "\x7f"]
)
def test_what_moves_the_cursor_or_hides_text_is_shown_instead(stream, evil):
    out = shown(stream(), note(f"a{evil}b", [("value", f"a{evil}b")]))

    assert f"a\\x{ord(evil[0]):02x}" in out
    assert evil not in out


def test_markup_arrives_literally(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    evil = "[link=https://evil.example]click[/link] [bold]x :smile:"

    assert evil in shown(Terminal(), note(lines=[("value", evil)]))


def test_a_body_without_lines_is_shown_as_its_text():
    assert "only text" in shown(Terminal(), note("only text", []))


def test_a_stream_that_cannot_show_a_letter_shows_a_question_mark():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    ConsoleChannel("terminal", outside=Outside(stream=stream)).send(note("naïve"))

    assert raw.getvalue() == b"na?ve\n"


def test_a_terminal_that_is_ascii_still_shows_the_alert():
    class AsciiTerminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    raw = io.BytesIO()
    stream = AsciiTerminal(raw, encoding="ascii")

    ConsoleChannel("terminal", outside=Outside(stream=stream)).send(note(lines=[("value", "naïve")]))

    assert b"na" in raw.getvalue()


def test_a_closed_terminal_is_a_temporary_failure():
    stream = io.StringIO()
    stream.close()

    with pytest.raises(TemporaryFailure, match="cannot be written to"):
        ConsoleChannel("terminal", outside=Outside(stream=stream)).send(note())


def test_the_registry_makes_each_channel_by_its_type():
    assert {name: kind.Config.model_fields["type"].default for name, kind in CHANNELS.items()} == {
        name: name for name in CHANNELS
    }
    console = CHANNELS["console"]
    made = console("terminal", console.Config())
    assert (made.name, made.type, made.min_interval.total_seconds()) == ("terminal", "console", 0)
