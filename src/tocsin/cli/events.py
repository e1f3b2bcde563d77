"""`tocsin events`: the catalogue of event codes."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.catalog import Code, everything, search

OUTCOME_STYLES = {"failure": "red", "warning": "yellow", "success": "green", "notification": "cyan"}


def events(
    query: Annotated[
        str | None,
        typer.Argument(metavar="[CODE|WORD]", help="An event code, or a word of its name or category."),
    ] = None,
) -> None:
    """Look up event codes, those that rules can name.

    All of them, one with all its facts, or those that have a word. Piped, it writes one code a line,
    tabs between: provider, code, outcome, categories, name, description, log-stream filter, marks,
    actions, notes, and what it is in ECS: action, category, type.

    Example: tocsin events limit_wc
    """
    found = _find(query)
    if not found:
        typer.echo(f"tocsin: no event code or word {query!r} in the catalogue{_hint(query or '')}", err=True)
        raise typer.Exit(1)
    console = Console(highlight=False)
    if not console.is_terminal:
        sys.stdout.writelines(f"{_line(code)}\n" for code in found)
    elif len(found) == 1:
        console.print(_all_facts(found[0]))
    else:
        console.print(_table(found))


def _find(query: str | None) -> Sequence[Code]:
    """The code itself, of each provider that has it; else all that have the word."""
    if query is None:
        return everything()
    wanted = query.strip().casefold()
    exact = [code for code in everything() if code.code.casefold() == wanted]
    return exact or search(wanted)


def _hint(query: str) -> str:
    near = difflib.get_close_matches(query.casefold(), [code.code for code in everything()], n=1)
    return f"; did you mean {near[0]!r}?" if near else "; tocsin events lists them all"


def _facts(code: Code) -> dict[str, str]:
    """Everything the catalogue knows of it, in the order of a piped line."""
    marks = {
        "prioritised stream": code.prioritized,
        "legacy": code.legacy,
        f"dashboard: {code.severity}": code.severity,
        f"security center: {code.security_center}": code.security_center,
    }
    return {
        "provider": code.provider,
        "code": code.code,
        "outcome": code.outcome,
        "category": "; ".join(code.categories),
        "name": code.name,
        "description": code.description,
        "stream filter": code.stream_filter,
        "marks": "; ".join(mark for mark, holds in marks.items() if holds),
        "actions": "; ".join(code.variants or code.actions),
        "notes": code.notes,
        "ecs": "; ".join((code.ecs.action, " ".join(code.ecs.category), " ".join(code.ecs.type))),
    }


def _line(code: Code) -> str:
    return "\t".join(_facts(code).values())


def _all_facts(code: Code) -> Text:
    block = Text.assemble((code.code, "bold"), "  ", (code.name, OUTCOME_STYLES.get(code.outcome, "")), "\n")
    for name, value in _facts(code).items():
        if value and name not in {"code", "name"}:
            block.append(f"  {name:<14}", style="dim").append(f"{value}\n")
    return block


def _table(found: Sequence[Code]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("provider", "code", "outcome", "category", "what"):
        table.add_column(heading, overflow="fold")
    for code in found:
        outcome = Text(code.outcome, style=OUTCOME_STYLES.get(code.outcome, ""))
        category = Text("; ".join(code.categories))
        table.add_row(code.provider, Text(code.code, style="bold"), outcome, category, Text(code.name))
    return table
