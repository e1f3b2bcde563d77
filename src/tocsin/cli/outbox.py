"""`tocsin outbox`: what is on its way out, and dead letters sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from tocsin.cli.connect import open_state
from tocsin.cli.table import print_table
from tocsin.clock import SystemClock, iso, to_ms
from tocsin.model.notification import Delivery, DeliveryStatus

MOST = 1_000_000  # "all" of the dead letters

app = typer.Typer(
    name="outbox", help="See what was sent or could not be, and send it again.", no_args_is_help=True
)
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
]

_COLUMNS = ("ID", "STATUS", "CHANNEL", "SEVERITY", "TRIES", "AT", "SUMMARY", "ANSWER")


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(metavar="|".join(get_args(DeliveryStatus)), help="Only those.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 100,
    config: Config = None,
) -> None:
    """List notifications, newest first.

    Example: tocsin outbox list --status dead
    """
    if status is not None and status not in get_args(DeliveryStatus):
        known = ", ".join(get_args(DeliveryStatus))
        raise typer.BadParameter(f"there is no status {status!r}; there are: {known}", param_hint="--status")
    with open_state(config) as state:
        found = state.outbox.find(status=status, limit=limit)
    rows = [_row(delivery) for delivery in found]
    spare = ("ANSWER", "SEVERITY", "TRIES")
    print_table(_COLUMNS, rows, empty="No notifications.", flowing=("SUMMARY", "ANSWER"), spare=spare)


@app.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID…", help="Dead letters to send again.")
    ] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every one of them.")] = False,
    config: Config = None,
) -> None:
    """Send dead letters again.

    The running service does it within a second.

    Example: tocsin outbox retry --all-dead
    """
    if bool(ids) == all_dead:
        raise typer.BadParameter("name dead letters by their ids, or say --all-dead")
    now = SystemClock().now()
    with open_state(config) as state:
        wanted = ids or [dead.notification.id for dead in state.outbox.find(status="dead", limit=MOST)]
        refused = [id_ for id_ in wanted if not state.outbox.requeue(id_, now)]
    typer.echo(f"{len(wanted) - len(refused)} queued again")
    for id_ in refused:
        typer.echo(
            f"tocsin: {id_}: no dead letter has this id; see `tocsin outbox list --status dead`", err=True
        )
    if refused:
        raise typer.Exit(1)


def _row(delivery: Delivery) -> tuple[str, ...]:
    note = delivery.notification
    at = delivery.settled_at or delivery.next_at or note.created_at
    tries = (
        f"{delivery.attempt} ({delivery.ambiguous} unknown)" if delivery.ambiguous else f"{delivery.attempt}"
    )
    return (
        note.id, delivery.status, note.channel, note.severity, tries, iso(to_ms(at)), note.summary,
        delivery.last_error,
    )  # fmt: skip
