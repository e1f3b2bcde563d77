"""The command line: every command, and what an error looks like."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tocsin import __version__
from tocsin.cli import alerts, outbox, rules, silence
from tocsin.cli.config import config_app, init
from tocsin.cli.events import events
from tocsin.cli.replay import replay
from tocsin.cli.run import run
from tocsin.cli.send_test import send_test
from tocsin.errors import Error, StoreInUse

EXIT_IN_USE = 75  # EX_TEMPFAIL of sysexits.h: try again later

app = typer.Typer(
    name="tocsin",
    help="Sigma rules, live, on identity logs: one well-evidenced alert per attack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(replay)
app.command()(events)
app.add_typer(rules.app, name="rules")
app.add_typer(alerts.app, name="alerts")
app.add_typer(silence.app, name="silence")
app.add_typer(outbox.app, name="outbox")
app.add_typer(config_app, name="config")
app.command("send-test")(send_test)
app.command()(init)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tocsin {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version_: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """The options every command has."""


def main() -> None:
    """Run the command line; an error of ours is told in its own words, without a trace."""
    try:
        app()
    except StoreInUse as exc:
        typer.echo(f"tocsin: {exc}", err=True)
        sys.exit(EXIT_IN_USE)
    except Error as exc:
        typer.echo(str(exc) if "\n" in str(exc) else f"tocsin: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has read enough
        sys.exit(0)
