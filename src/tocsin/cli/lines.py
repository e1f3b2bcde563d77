"""How commands write alerts: a block to read on a terminal, one plain line each when piped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC

import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tocsin.alerts.facts import Facts, alert_facts, score_text
from tocsin.alerts.headline import title
from tocsin.clock import iso
from tocsin.model.alert import Alert, Change, as_record

SEVERITY_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "bold cyan",
    "informational": "bold",
}
SHOWN_VALUES = 5
LABEL_WIDTH = 17


def print_change(change: Change) -> None:
    """A change of an alert, as suits where standard output goes."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_block(change.alert, f"{change.kind} {iso(change.at_ms)}"), "")
    else:
        sys.stdout.write(f"{iso(change.at_ms)}\t{change.kind}\t{plain_line(change.alert)}\n")


def print_alert(alert: Alert) -> None:
    """One alert with all its facts."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_block(alert, str(alert.status), whole=True), "")
    else:
        facts = alert_facts(alert, title(alert), external_url="", zone=UTC)
        rows = [("title", facts["title"]), ("severity", alert.severity)]
        rows += _rows(alert, facts, str(alert.status), whole=True)
        sys.stdout.writelines(f"{label}\t{_one_line(value)}\n" for label, value in rows if value)


def print_json(alert: Alert) -> None:
    """One alert as `replay --format json` and the webhook write it."""
    sys.stdout.write(msgspec.json.encode(as_record(alert, title(alert))).decode() + "\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def plain_line(alert: Alert) -> str:
    """Severity, rule, title, score, start, last trigger and id; tabs between."""
    times = (iso(alert.started_ms), iso(alert.last_ms))
    return "\t".join((alert.severity, alert.rule, title(alert), score_text(alert), *times, alert.id))


def _block(alert: Alert, heading: str, *, whole: bool = False) -> Group:
    """Its facts, a line each; the whole has what the rule says, too."""
    facts = alert_facts(alert, title(alert), external_url="", zone=UTC)
    style = SEVERITY_STYLES[alert.severity]
    head = Text.assemble((f" {alert.severity.upper()} ", style), " ", (facts["title"], "bold"))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", min_width=LABEL_WIDTH)
    grid.add_column(overflow="fold")
    for label, value in _rows(alert, facts, heading, whole=whole):
        if value:
            grid.add_row(f"   {label}", Text(value))
    return Group(head, grid)


def _rows(alert: Alert, facts: Facts, heading: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    yield "status", f"{heading}, score {facts['score']}, rule {facts['rule']}"
    if whole:
        yield "what", facts["description"]
    for entry in facts["group"]:
        yield entry["name"].lower(), entry["value"]
    yield "since", f"{facts['started']}, last {facts['last']}, lasted {facts['lasted']}"
    yield "note", facts["warming"]
    yield "resolved", facts["resolved"]
    yield "merged into", facts["merged_into"]
    for evidence in facts["evidence"]:
        top = ", ".join(f"{value['text']} ({value['count']})" for value in evidence["values"][:SHOWN_VALUES])
        hidden = len(evidence["values"]) - SHOWN_VALUES + evidence["more"]
        yield (
            evidence["name"].lower(),
            f"{top}, {hidden}{'+' if evidence['open_ended'] else ''} more" if hidden > 0 else top,
        )
    if whole:
        yield "runbook", facts["runbook_url"] or facts["runbook"]
    yield "id", alert.id
