"""`tocsin alerts`: what was found, and who was told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tocsin.alerts.headline import title
from tocsin.alerts.notice import NOTICE
from tocsin.alerts.plan import plan
from tocsin.alerts.routing_file import load_routing
from tocsin.cli.connect import State, open_state
from tocsin.cli.lines import print_alert, print_json
from tocsin.cli.table import print_table
from tocsin.clock import SystemClock, iso, to_ms
from tocsin.errors import Error
from tocsin.model.alert import Alert
from tocsin.model.notification import Delivery, Notification
from tocsin.telemetry import visible

app = typer.Typer(help="See what was found, and who was told.", no_args_is_help=True)

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
]
Format = Annotated[str, typer.Option("--format", metavar="text|json", help="How to write it.")]
COLUMNS = ("ID", "STATUS", "SEVERITY", "LAST SEEN", "RULE", "ENTITY", "TITLE")
SHORT = ("ID", "STATUS", "SEVERITY", "LAST SEEN (UTC)", "TITLE")


@app.command("list")
def list_(
    config: Config = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that are going on.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    output: Format = "text",
) -> None:
    """List alerts, the one seen last first.

    Example: tocsin alerts list --firing
    """
    with open_state(config) as state:
        alerts = state.alerts.find(status="firing" if firing else None, limit=limit)
    if _is_json(output):
        for alert in alerts:
            print_json(alert)
    elif sys.stdout.isatty():
        print_table(SHORT, [_short_row(alert) for alert in alerts], empty="No alerts.", flowing=("TITLE",))
    else:
        print_table(COLUMNS, [_row(alert) for alert in alerts], empty="")


@app.command("show")
def show(
    alert_id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="An alert's id, or its first characters.")
    ],
    config: Config = None,
    output: Format = "text",
) -> None:
    """Show one alert: its evidence, and who was told of it.

    Where somebody was not told, it says why. JSON is the alert alone, as a webhook gets it. Of a notice
    (what tocsin tells of itself) it shows the message, as long as the outbox has it.

    Example: tocsin alerts show 7ecbb4c9b631f881
    """
    with open_state(config) as state:
        alert = _named(state, alert_id)
        if alert is None:
            _print_notice(_notices(state, alert_id))
            return
        if _is_json(output):
            print_json(alert)
            return
        print_alert(alert)
        print_table(
            ("CHANNEL", "WHAT", "SINCE"),
            _told(state, alert),
            empty="Nobody was told of it.",
            flowing=("WHAT",),
        )


def _is_json(output: str) -> bool:
    if output not in ("text", "json"):
        raise typer.BadParameter(f"{output!r} is none of: text, json", param_hint="--format")
    return output == "json"


def _row(alert: Alert) -> tuple[str, ...]:
    entity = alert.labels.get("entity", "")
    return alert.id, alert.status, alert.severity, iso(alert.last_ms), alert.rule, entity, title(alert)


def _short_row(alert: Alert) -> tuple[str, ...]:
    """What fits a terminal; `alerts show` tells the rest."""
    last = alert.last_at.strftime("%Y-%m-%d %H:%M")
    return alert.id, alert.status, alert.severity, last, title(alert)


def _named(state: State, text: str) -> Alert | None:
    """The alert with this id, or the only one whose id begins so; None where it is a notice's."""
    if alert := state.alerts.get(text):
        return alert
    found = [alert for alert in state.alerts.find(limit=10_000) if alert.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(alert.id for alert in found[:5])
        raise Error(f'{len(found)} alerts have an id that begins with "{text}": {ids}')
    if _notices(state, text):
        return None
    raise Error(f'no alert has the id "{text}"; `tocsin alerts list` shows them')


def _notices(state: State, text: str) -> list[Delivery]:
    """The messages of the notice with this id: tocsin's own, about no alert."""
    return [
        delivery
        for delivery in state.outbox.find(limit=10_000)
        if text
        and delivery.notification.group_key.startswith(NOTICE)
        and any(id_.startswith(text) for id_ in delivery.notification.alert_ids)
    ]


def _print_notice(deliveries: list[Delivery]) -> None:
    typer.echo("No alert, but a notice of tocsin about itself:\n")
    for delivery in deliveries:
        note = delivery.notification
        typer.echo("\n".join(visible(line) for line in _said(note).splitlines()))
        typer.echo("")
    rows = [(d.notification.channel, d.status, iso(to_ms(d.notification.created_at))) for d in deliveries]
    print_table(("CHANNEL", "WHAT", "SINCE"), rows, empty="")


def _said(note: Notification) -> str:
    """What its message says, of whatever channel's making."""
    if text := note.body.get("text"):
        return str(text)
    told = [alert.get("annotations", {}).get("description", "") for alert in note.body.get("alerts", [])]
    return "\n".join([note.summary, *map(str, told)])


def _told(state: State, alert: Alert) -> list[tuple[str, str, str]]:
    """What became of it per channel: deliveries, then what the planner still holds back and why."""
    rows = [
        (
            d.notification.channel,
            f"{d.status}: {d.notification.summary}",
            d.notification.created_at.isoformat("T", "seconds"),
        )
        for d in state.outbox.find(limit=10_000)
        if alert.id in d.notification.alert_ids
    ]
    settings = state.settings
    routes = load_routing(settings.routing, list(settings.channels))
    decided = plan(
        state.alerts.unsettled(),
        routes,
        state.silences.list(),
        state.outbox.last,
        SystemClock().now(),
        notify_max_age=settings.notify_max_age,
    )
    for held in decided.held:
        if held.alert_id == alert.id:
            until = "" if held.until is None else held.until.isoformat("T", "seconds")
            rows.append((held.channel or "-", f"held: {held.reason}", until))
    return rows
