"""The command line: every command, and what an error looks like."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tocsin import __version__
from tocsin.cli import alerts, outbox, quarantine, rules, silence
from tocsin.cli.config import config_app, init
from tocsin.cli.events import events
from tocsin.cli.reload import reload
from tocsin.cli.replay import replay
from tocsin.cli.run import run
from tocsin.cli.send_test import send_test
from tocsin.errors import Error, StoreInUse

EXIT_IN_USE = 75  # EX_TEMPFAIL of sysexits.h: try again later

ORDER = (
    "run", "reload", "replay", "rules", "events", "alerts", "silence", "outbox", "quarantine", "send-test",
    "config", "init",
)  # fmt: skip


class _InOrder(TyperGroup):
    """Lists the commands as a newcomer meets them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="tocsin",
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(reload)
app.command()(replay)
app.add_typer(rules.app, name="rules")
app.command()(events)
app.add_typer(alerts.app, name="alerts")
app.add_typer(silence.app, name="silence")
app.add_typer(outbox.app, name="outbox")
app.add_typer(quarantine.app, name="quarantine")
app.command("send-test")(send_test)
app.add_typer(config_app, name="config")
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
    """Sigma rules, live, on identity logs: one well-evidenced alert per attack.

    Example: tocsin run --demo
    """


def main() -> None:
    """Run the command line; an error of ours is told in its own words, without a trace.

    Exit codes: 0 fine, 1 it failed, 2 it was called wrongly, 75 the data directory is in use.
    """
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
