"""Groups whose commands are imported when they are called, so that `--help` and short commands are quick."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class Place(NamedTuple):
    """Where a command is, as `module:name` of its function or of its group's app, and its line in a list.

    The line is the first of the command's own help; it stands here so that a list needs no import.
    """

    at: str
    line: str


class OnDemand(TyperGroup):
    """A group that knows of its commands only where they are and what its list says of them."""

    places: ClassVar[Mapping[str, Place]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name) for name in self.places}  # for "did you mean"

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself; None when there is none of that name."""
        del ctx
        place = self.places.get(cmd_name)
        if place is None:
            return None
        found = _imported(cmd_name, place.at)
        if "structlog" in sys.modules:  # else nothing logs, and setting it up takes as long as the command
            _log_to_stderr()
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list, without the commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.line) for name, place in self.places.items()])


def _log_to_stderr() -> None:
    """What a command prints is its answer alone; `run` says later what else it logs."""
    from tocsin import telemetry

    telemetry.setup_logging(level="warning")


@cache
def _imported(name: str, at: str) -> Any:
    module, _, attribute = at.partition(":")
    found = getattr(import_module(module), attribute)
    app = typer.Typer(callback=lambda: None, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)
    return get_group(app).commands[name]
