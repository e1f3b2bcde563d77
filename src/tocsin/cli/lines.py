"""How commands write alerts: a block to read on a terminal, one plain line each when piped."""

from __future__ import annotations

import sys
from datetime import UTC

from rich.console import Console
from rich.text import Text

from tocsin.alerts.facts import alert_facts, score_text
from tocsin.alerts.headline import title
from tocsin.clock import iso
from tocsin.model.alert import Alert, Change

SEVERITY_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "bold cyan",
    "informational": "bold",
}
SHOWN_VALUES = 5


def print_change(change: Change) -> None:
    """A change of an alert, as suits where standard output goes."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_block(change.alert, f"{change.kind.upper()} {iso(change.at_ms)}"))
    else:
        sys.stdout.write(f"{iso(change.at_ms)}\t{change.kind}\t{plain_line(change.alert)}\n")


def print_alert(alert: Alert) -> None:
    """One alert with all its facts."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_block(alert, alert.status.upper()))
    else:
        sys.stdout.write(f"{alert.status}\t{plain_line(alert)}\n")


def plain_line(alert: Alert) -> str:
    """Severity, rule, title, score, start, last trigger and id; tabs between."""
    times = (iso(alert.started_ms), iso(alert.last_ms))
    return "\t".join((alert.severity, alert.rule, title(alert), score_text(alert), *times, alert.id))


def _block(alert: Alert, heading: str) -> Text:
    facts = alert_facts(alert, title(alert), external_url="", zone=UTC)
    style = SEVERITY_STYLES[alert.severity]
    block = Text.assemble((f" {alert.severity.upper()} ", style), " ", (facts["title"], "bold"), "\n")
    rows = [("what", f"{heading.lower()}, score {facts['score']}, rule {facts['rule']}")]
    rows += [(entry["name"].lower(), entry["value"]) for entry in facts["group"]]
    rows += [("since", f"{facts['started']}, last {facts['last']}, lasted {facts['lasted']}")]
    for evidence in facts["evidence"]:
        top = ", ".join(f"{value['text']} ({value['count']})" for value in evidence["values"][:SHOWN_VALUES])
        hidden = len(evidence["values"]) - SHOWN_VALUES + evidence["more"]
        rows.append((evidence["name"].lower(), f"{top}, {hidden} more" if hidden > 0 else top))
    rows.append(("id", alert.id))
    for label, value in rows:
        block.append(f"   {label:<14}", style="dim").append(f"{value}\n")
    return block
