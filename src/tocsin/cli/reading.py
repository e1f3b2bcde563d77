"""Files of past events on the command line: which they are, and reading them with a bar to watch."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin.cli.rules_options import means_shipped
from tocsin.clock import format_duration, parse_duration
from tocsin.errors import SourceUnavailable
from tocsin.model.compiled import RuleSet
from tocsin.protocols import Batch
from tocsin.sources.decode import Decoder
from tocsin.sources.file import FileSource
from tocsin.sources.guess import GuessingDecoder
from tocsin.tune.replay import codes_read_whole, in_step

SHOWN_BAD_RECORDS = 20
RULE_SUFFIXES = {".yml", ".yaml"}

SECOND = timedelta(seconds=1)
FORMATS = "NDJSON or a JSON array, plain, .gz or .zst; - is standard input."
RuleFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules", metavar="PATH…", help="Rule files or folders; shipped, shipped/ecs [default: shipped]."
    ),
]
Lateness = Annotated[str, typer.Option(metavar="DURATION", help="How far events may be out of order.")]

Advance = Callable[[int, int | None], None]  # bytes read, and of how many (None: not known)


class Reading:
    """Files read as the one stream they are; what could not be decoded is told with its line, and counted.

    A file that is missing, or damaged from some point on, makes it `failed`: what the others say is
    told all the same.
    """

    def __init__(self, files: Sequence[str], ruleset: RuleSet, what: str) -> None:
        self.events = 0
        self.bad = 0
        self.failed = False
        self._files, self._ruleset, self._what = files, ruleset, what

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        """Batches, each with the newest time of the file that is then furthest behind."""
        with _progress(self._files, self._what) as advance:
            yield from in_step([self._batches(file, advance) for file in self._files])

    def _batches(self, file: str, advance: Advance) -> Iterator[Batch]:
        decoder = GuessingDecoder(
            partial(_decoder, self._ruleset.fields, whole=codes_read_whole(self._ruleset))
        )
        batches = FileSource(file, decoder, progress=advance).read(None)
        while True:
            try:
                batch = next(batches, None)
            except SourceUnavailable as exc:
                typer.echo(f"tocsin: {exc}", err=True)
                self.failed = True
                return
            if batch is None:
                return
            self.events += len(batch.events)
            for record in batch.quarantined:
                self.bad += 1
                if self.bad <= SHOWN_BAD_RECORDS:
                    typer.echo(f"{file}:{record.line}: not an event: {record.reason}", err=True)
                elif self.bad == SHOWN_BAD_RECORDS + 1:
                    typer.echo("(more records that are no events are only counted)", err=True)
            yield batch


def _decoder(fields: frozenset[str], provider: str, *, whole: frozenset[str] | None) -> Decoder:
    return Decoder(fields, provider=provider, whole=whole)


def spare_the_collector() -> None:
    """Let the garbage collector look seldom, and never at what was loaded.

    Replay holds hundreds of thousands of lists and hardly a cycle: looking through them all every
    700 new ones is a fifth of the time it takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def say_of_late(late: int, latest: timedelta) -> None:
    """Where events were late, the latest by so much: how to have none."""
    if late:
        enough = format_duration(timedelta(seconds=-(-latest // SECOND)))
        typer.echo(
            f"late events are counted as well as may be; with --allowed-lateness {enough} none is late",
            err=True,
        )


def sorted_out(arguments: Sequence[str], rules: Sequence[Path] | None) -> tuple[list[str], list[Path] | None]:
    """Files of events and paths of rules, None where no rule was asked for.

    `--rules a.yml b.yml` leaves b.yml among the files.
    """
    more = [Path(a) for a in arguments if _is_of_rules(a)]
    files = [a for a in arguments if Path(a) not in more]
    if not files:
        raise typer.BadParameter(
            "name at least one file of events, or - for standard input", param_hint="FILE"
        )
    return files, [*(rules or []), *more] or None


def _is_of_rules(argument: str) -> bool:
    path = Path(argument)
    return path.suffix in RULE_SUFFIXES or means_shipped(path) or (argument != "-" and path.is_dir())


def duration(text: str, option: str) -> timedelta:
    """A duration that an option says."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=option) from exc


@contextmanager
def _progress(files: Sequence[str], what: str) -> Iterator[Advance]:
    """A bar on standard error, if a person is there to see it."""
    console = Console(stderr=True)
    if not console.is_terminal or list(files) == ["-"]:
        yield lambda _done, _total: None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    # On one terminal alerts are printed above the bar; what goes to a file must stay out of its way.
    shared = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=shared) as progress:
        task = progress.add_task(what, total=sum(Path(f).stat().st_size for f in files if Path(f).exists()))
        yield lambda done, _total: progress.advance(task, done)
