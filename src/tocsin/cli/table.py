"""Lists on the command line: a table for a person, tab-separated lines for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.telemetry import visible


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print the rows; a person is told `empty` when there are none, a pipe gets no line at all."""
    console = Console(highlight=False)
    if not console.is_terminal:
        sys.stdout.writelines("\t".join(map(_cell, row)) + "\n" for row in rows)
    elif not rows:
        console.print(empty)
    else:
        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(_cell(cell), overflow="fold") for cell in row))
        console.print(table)


def _cell(text: str) -> str:
    """On one line, and harmless: rows show what attackers wrote."""
    return visible(text.replace("\t", " ").replace("\n", " "))
