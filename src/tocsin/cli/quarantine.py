"""`tocsin quarantine`: records that could not become events, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.connect import open_state
from tocsin.cli.table import print_table
from tocsin.clock import iso, to_ms

SHOWN_CHARACTERS = 200

app = typer.Typer(help="Records that could not become events, and why.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Records that could not become events, and why."""


@app.command("list")
def list_(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
) -> None:
    """Records set aside, the newest first, each with its reason.

    Example: tocsin quarantine list
    """
    with open_state(config) as state:
        found = state.quarantine.find(limit)
    rows = [
        (iso(to_ms(when)), source, record.reason, str(record.line), _shown(record.raw))
        for source, when, record in found
    ]
    columns = ("when", "source", "reason", "line", "record")
    print_table(
        columns, rows, empty="nothing is in quarantine", flowing=("reason", "record"), spare=("record",)
    )


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip()
    return (
        text
        if len(text) <= SHOWN_CHARACTERS
        else f"{text[:SHOWN_CHARACTERS]}… (+{len(text) - SHOWN_CHARACTERS})"
    )
