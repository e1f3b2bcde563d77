"""The command line: every command, and what an error looks like."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tocsin.cli.on_demand import OnDemand, Place
from tocsin.errors import Error, StoreInUse

EXIT_IN_USE = 75  # EX_TEMPFAIL of sysexits.h: try again later
# Thousands of rules are millions of objects that stay: to look through them again whenever 700 new
# ones were made would take a third of a load.
OBJECTS_BETWEEN_COLLECTIONS = 100_000


class _Commands(OnDemand):
    """As a newcomer meets them."""

    places = {  # noqa: RUF012 - it is never changed
        "run": Place("tocsin.cli.run:run", "Start the service: receive events, find attacks, tell people."),
        "reload": Place("tocsin.cli.reload:reload", "Make the running service read its rules anew."),
        "replay": Place("tocsin.cli.replay:replay", "Show what the rules say of past events, in event time."),
        "tune": Place("tocsin.cli.tune:tune", "What other values of a rule's params would have done."),
        "rules": Place("tocsin.cli.rules:app", "Check, test, explain and list rules."),
        "events": Place("tocsin.cli.events:events", "Look up event codes, those that rules can name."),
        "alerts": Place("tocsin.cli.alerts:app", "See what was found, and who was told."),
        "silence": Place("tocsin.cli.silence:app", "Hold alerts back for a while."),
        "outbox": Place("tocsin.cli.outbox:app", "See what was sent or could not be, and send it again."),
        "quarantine": Place("tocsin.cli.quarantine:app", "Records that could not become events, and why."),
        "send-test": Place("tocsin.cli.send_test:send_test", "Send a made-up alert to one channel, now."),
        "config": Place("tocsin.cli.config:config_app", "Check the settings."),
        "init": Place("tocsin.cli.config:init", "Write a commented starter folder."),
    }


app = typer.Typer(
    name="tocsin",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from tocsin import __version__

        typer.echo(f"tocsin {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version_: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """Sigma rules, live, on identity logs: one well-evidenced alert per attack.

    Example: tocsin run --demo
    """


def main() -> None:
    """Run the command line; an error of ours is told in its own words, without a trace.

    Exit codes: 0 fine, 1 it failed, 2 it was called wrongly, 75 the data directory is in use.
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 50, 50)
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as exc:
        typer.echo(_usage(exc), err=True)
        sys.exit(exc.exit_code)
    except StoreInUse as exc:
        typer.echo(f"tocsin: {exc}", err=True)
        sys.exit(EXIT_IN_USE)
    except Error as exc:
        typer.echo(str(exc) if "\n" in str(exc) else f"tocsin: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has read enough
        sys.exit(0)


def _usage(exc: TyperException) -> str:
    """One line: the command, what is wrong with how it was called, and where to read on."""
    message = exc.format_message()
    context = getattr(exc, "ctx", None)
    if "\n" in message or context is None:  # a group without a command: its help
        return message
    path = context.command_path
    return f"{path}: {message[:1].lower()}{message[1:].rstrip('.')} (see {path} --help)"
