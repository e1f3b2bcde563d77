"""`tocsin silence`: hold alerts back for a while."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.connect import open_state
from tocsin.cli.table import print_table
from tocsin.clock import SystemClock, iso, parse_duration, to_ms
from tocsin.model.silence import Matcher, Silence, parse_matcher

app = typer.Typer(name="silence", help="Hold alerts back for a while.", no_args_is_help=True)
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
]

_COLUMNS = ("ID", "STATE", "ENDS", "MATCHERS", "BY", "COMMENT")


@app.command()
def add(
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER…", help="Like rule=spray or 'severity=~\"low|medium\"'; all must match."
        ),
    ],
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, like 30m, 2h or 7d.")],
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the others.")] = "",
    config: Config = None,
) -> None:
    """Silence the alerts whose labels match, from now on.

    Prints the silence's id.

    Example: tocsin silence add entity=ip:203.0.113.9 --for 2h
    """
    now = SystemClock().now()
    silence = Silence(
        id=secrets.token_hex(4),
        matchers=tuple(_matcher(text) for text in matchers),
        starts_at=now,
        ends_at=_end(now, for_),
        created_by=os.environ.get("USER", ""),
        comment=comment,
    )
    with open_state(config) as state:
        state.silences.add(silence)
    typer.echo(silence.id)


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    config: Config = None,
) -> None:
    """List silences, the soonest to end first.

    Example: tocsin silence list --all
    """
    now = SystemClock().now()
    with open_state(config) as state:
        found = [silence for silence in state.silences.list() if all_ or now < silence.ends_at]
    rows = [_row(silence, now) for silence in found]
    print_table(
        _COLUMNS, rows, empty="No silences.", flowing=("MATCHERS", "COMMENT"), spare=("COMMENT", "BY")
    )


@app.command()
def expire(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="As `silence list` shows it.")],
    config: Config = None,
) -> None:
    """End a silence now.

    Example: tocsin silence expire 3f9a01bc
    """
    with open_state(config) as state:
        if not state.silences.expire(silence_id, SystemClock().now()):
            typer.echo(f"tocsin: {silence_id}: there is no such silence; see `tocsin silence list`", err=True)
            raise typer.Exit(1)


def _matcher(text: str) -> Matcher:
    try:
        return parse_matcher(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="MATCHER") from exc


def _end(now: datetime, text: str) -> datetime:
    try:
        duration = parse_duration(text)
        end = now + duration
    except (ValueError, OverflowError) as exc:
        raise typer.BadParameter(str(exc), param_hint="--for") from exc
    if end <= now:
        raise typer.BadParameter("a silence lasts longer than nothing, like 2h", param_hint="--for")
    return end


def _row(silence: Silence, now: datetime) -> tuple[str, ...]:
    begun = "active" if silence.starts_at <= now else "pending"
    state = begun if now < silence.ends_at else "ended"
    matchers = " ".join(map(str, silence.matchers))
    return silence.id, state, iso(to_ms(silence.ends_at)), matchers, silence.created_by, silence.comment
