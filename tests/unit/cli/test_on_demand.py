"""Commands that are imported when they are called: their lists need no import, and say the same."""

from __future__ import annotations

import subprocess
import sys

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
