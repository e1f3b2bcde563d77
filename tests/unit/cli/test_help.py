"""What every command says of itself, and how a wrong call is answered: short, with a way out."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from tocsin.cli.main import app, main


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every path of words that leads to a command, groups too."""
    names = command.list_commands(None) if isinstance(command, TyperGroup) else []
    nested = [commands(command.get_command(None, name), (*path, name)) for name in names]
    return [path, *(found for below in nested for found in below)]


ALL = commands(typer.main.get_command(app))
LEAVES = [path for path in ALL if not any(other[: len(path)] == path != other for other in ALL)]


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    return result.stdout


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tocsin", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_commands_stand_as_a_newcomer_meets_them() -> None:
    listed = help_of(()).partition("Commands:\n")[2].split("\n")

    assert [line.split()[0] for line in listed if line.strip()] == [
        "run", "reload", "replay", "tune", "rules", "events", "alerts", "silence", "outbox", "quarantine",
        "send-test", "config", "init",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_help_fits_80_columns_and_cuts_nothing_off(path: tuple[str, ...]) -> None:
    text = help_of(path)

    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("COMMAND [ARGS]...", "").replace("}...", "").replace("]...", "")


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_shows_how_it_is_called(path: tuple[str, ...]) -> None:
    assert f"Example: tocsin {' '.join(path)}" in help_of(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["repaly"], "tocsin: no such command 'repaly'. Did you mean 'replay'?"),
        (["alerts", "shwo"], "tocsin alerts: no such command 'shwo'. Did you mean 'show'?"),
        (["replay"], "tocsin replay: missing argument"),
        (["replay", "--until", "soon", "a.ndjson"], "write one like 2015-04-20T00:00:00Z"),
        (["replay", "--format", "xml", "a.ndjson"], "'xml' is none of: text, json"),
        (["run", "--log-level", "loud"], "debug, info, warning, error"),
        (["silence", "add", "rule=x"], "missing option '--for'"),
    ],
)
def test_a_wrong_call_is_one_line_with_the_way_out_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert called(monkeypatch, *arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert told in err
    assert "--help)" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--config", "nowhere.yml"], "nowhere.yml: no such file; `tocsin init` writes one"),
        (["replay", "nowhere.ndjson"], "nowhere.ndjson: cannot be read"),
        (["events", "limit_xx"], "did you mean 'limit_wc'?"),
        (["send-test", "pager"], 'there is no channel "pager"; there are: terminal'),
        (["alerts", "list"], "start `tocsin run` first"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert called(monkeypatch, *arguments) == 1

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert told in err


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == "tocsin 0.1.0\n"
