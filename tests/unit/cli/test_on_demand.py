"""Commands that are imported when they are called: their lists need no import, and say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from tocsin.cli.main import app
from tocsin.cli.on_demand import OnDemand
from tocsin.cli.rules import app as rules_app

GROUPS = {"tocsin": typer.main.get_command(app), "tocsin rules": typer.main.get_command(rules_app)}
LISTED = [(group, name) for group, command in GROUPS.items() for name in getattr(command, "places", {})]


@pytest.mark.parametrize(("group", "name"), LISTED, ids=" ".join)
def test_a_list_says_of_a_command_what_its_own_help_begins_with(group: str, name: str) -> None:
    command = GROUPS[group]
    assert isinstance(command, OnDemand)

    own_help = command.get_command(None, name).help

    assert command.places[name].line == own_help.splitlines()[0]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["rules", "--help"]], ids=" ".join)
def test_a_list_of_commands_imports_none_of_them(arguments: list[str]) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tocsin", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )

    imported = [line.rpartition("|")[2].strip() for line in told.stderr.splitlines()]
    ours = {name for name in imported if name.startswith("tocsin")}
    names = ("", ".cli", ".cli.main", ".cli.on_demand", ".cli.rules", ".errors")
    assert ours <= {f"tocsin{name}" for name in names}


def test_a_command_that_is_not_there_has_no_place() -> None:
    command = GROUPS["tocsin"]
    assert isinstance(command, OnDemand)

    assert command.get_command(None, "nowhere") is None


@pytest.mark.parametrize("output", ["json", "text"])
def test_what_a_command_logs_is_no_part_of_its_answer(tmp_path: Path, output: str) -> None:
    rule, events = tmp_path / "rule.yml", tmp_path / "events.ndjson"
    rule.write_text(
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        "tocsin: {alert: {title: '{{ ().__class__ }}'}}\n"
    )
    events.write_text('{"log_id": "1", "date": "2024-01-01T12:00:00Z", "type": "fp"}\n')
    command = ["replay", str(events), "--rules", str(rule), "--format", output]

    told = subprocess.run(
        [sys.executable, "-m", "tocsin", *command], capture_output=True, text=True, check=True
    )

    (line,) = told.stdout.splitlines()
    assert (json.loads(line)["rule"] if output == "json" else line.split("\t")[3]) == "t"
    assert json.loads(told.stderr.splitlines()[0])["event"] == "headline.failed"
