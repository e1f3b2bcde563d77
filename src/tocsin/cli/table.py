"""Lists on the command line: a table for a person, tab-separated lines for a pipe.

A name that was broken over two lines cannot be copied, so none ever is: where the terminal is too
narrow, columns are left out that a list can do without, and then lines are longer than it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tocsin.telemetry import visible

GAP = 2  # between columns
INDENT = 2  # of rows under a line of their own
LONGEST_WORD = 60  # that is kept whole in a column that flows: longer ones are no names
NARROWEST = 20  # a column that flows is no narrower, unless all it says is


class _Column(NamedTuple):
    """A column: its heading, its cells, and how narrow and how wide it can be."""

    heading: str
    cells: Sequence[str]
    least: int
    most: int


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return Console().is_terminal


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    empty: str,
    flowing: Collection[str] = (),
    spare: Sequence[str] = (),
    headed: bool = False,
) -> None:
    """Print the rows; a person is told `empty` when there are none, a pipe gets no line at all.

    The cells of `flowing` columns may take several lines; those of others stay whole. `spare` columns,
    the one to miss first at the end, are left out of a terminal that is too narrow. `headed`: the
    first column is a line above the rows that share it.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        sys.stdout.writelines("\t".join(map(_cell, row)) + "\n" for row in rows)
    elif not rows:
        console.print(empty)
    else:
        made = [
            _column(heading, [_cell(row[place]) for row in rows], flowing)
            for place, heading in enumerate(columns)
        ]
        _print(console, made[1:] if headed else made, spare, made[0].cells if headed else ())


def _print(console: Console, columns: Sequence[_Column], spare: Sequence[str], heads: Sequence[str]) -> None:
    indent = INDENT if heads else 0
    shown = _fitting(columns, spare, console.width - indent)
    widths = _widths(shown, console.width - indent)
    wide = Console(highlight=False, width=max(console.width, indent + _total(widths), _widest(heads)))
    with wide.capture() as printed:
        wide.print(Padding.indent(_grid(shown, widths, (), header=True), indent))
        head_of = heads or [""] * len(columns[0].cells)
        for head, numbers in groupby(range(len(head_of)), key=head_of.__getitem__):
            if heads:
                wide.print(Text(head, style="bold"), no_wrap=True, overflow="ignore")
            wide.print(Padding.indent(_grid(shown, widths, numbers), indent))
    # Without the blanks at their end, which would be a line of their own where the terminal is narrower.
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())
    if missing := [column.heading for column in columns if column not in shown]:
        told = f"left out, for want of width: {', '.join(missing)}; a pipe (| less -S) gets them all"
        console.print(Text(told, style="dim"))


def _grid(
    columns: Sequence[_Column], widths: Sequence[int], numbers: Iterable[int], *, header: bool = False
) -> Table:
    """These rows of the columns."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim", show_header=header)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(Text(column.heading), width=width)
    for number in numbers:
        table.add_row(*(Text(column.cells[number], overflow="fold") for column in columns))
    return table


def _column(heading: str, cells: Sequence[str], flowing: Collection[str]) -> _Column:
    most = _widest((heading, *cells))
    if heading not in flowing:
        return _Column(heading, cells, most, most)
    word = _widest(word for text in (heading, *cells) for word in text.split())
    return _Column(heading, cells, max(min(word, LONGEST_WORD), min(most, NARROWEST)), most)


def _fitting(columns: Sequence[_Column], spare: Sequence[str], width: int) -> list[_Column]:
    """The columns that are shown: of the spare ones, from the first on, each that still has room."""
    kept = {column.heading for column in columns if column.heading not in spare}
    for heading in spare:
        tried = [column.least for column in columns if column.heading in kept | {heading}]
        if _total(tried) <= width:
            kept.add(heading)
    return [column for column in columns if column.heading in kept]


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """What room there is beyond the least goes evenly to the columns that want more."""
    widths = [column.least for column in columns]
    room = width - _total(widths)
    while wanting := [place for place, column in enumerate(columns) if widths[place] < column.most]:
        share = room // len(wanting)
        if share <= 0:
            break
        for place in wanting:
            more = min(share, columns[place].most - widths[place])
            widths[place] += more
            room -= more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _cell(text: str) -> str:
    """On one line, and harmless: rows show what attackers wrote."""
    return visible(text.replace("\t", " ").replace("\n", " "))
