"""`tocsin events` on a terminal and piped."""

from __future__ import annotations

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tocsin.catalog import everything
from tocsin.cli import events as command


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(command.events)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(
        command,
        "Console",
        lambda **options: Console(force_terminal=True, width=100, color_system=None, **options),
    )


def test_piped_it_is_one_code_a_line_with_eleven_tabbed_facts(run):
    lines = run().stdout.splitlines()

    assert len(lines) == len(everything()) == 223
    assert {line.count("\t") for line in lines} == {10}


def test_piped_nothing_is_wrapped_or_cut(run):
    longest = max(everything(), key=lambda code: len(code.notes))

    [line] = run(longest.code).stdout.splitlines()

    assert line.split("\t")[-2] == longest.notes
    assert len(line) > 200


def test_a_code_wins_over_a_word_and_its_case_does_not_matter(run):
    [line] = run("S").stdout.splitlines()

    assert line.split("\t")[:3] == ["auth0", "s", "success"]


def test_a_word_lists_every_code_that_has_it(run):
    codes = [line.split("\t")[1] for line in run("leak").stdout.splitlines()]

    assert {"pwd_leak", "signup_pwd_leak", "reset_pwd_leak"} <= set(codes)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("limit_wx", "did you mean 'limit_wc'?"),
        ("login.completd", "did you mean 'login.completed'?"),
        ("%%", "lists"),
    ],
)
def test_an_unknown_word_exits_1_with_the_nearest_code(run, word, hint):
    result = run(word)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert hint in result.stderr


def test_on_a_terminal_a_code_shows_all_its_facts(run, terminal):
    shown = run("limit_wc").stdout

    for fact in (
        "limit_wc",
        "warning",
        "System - Notification",
        "system.notification",
        "prioritised stream",
        "10",
    ):
        assert fact in shown


def test_on_a_terminal_many_codes_are_a_table(run, terminal):
    first, *rows = run("login - failure").stdout.splitlines()

    assert first.split() == ["provider", "code", "outcome", "category", "what"]
    assert any("fp" in row and "failure" in row for row in rows)
