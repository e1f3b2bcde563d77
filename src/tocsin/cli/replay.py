"""`tocsin replay`: what the rules say of past events."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer

from tocsin.alerts.headline import title
from tocsin.cli.lines import print_change
from tocsin.cli.reading import (
    FORMATS,
    Lateness,
    Reading,
    RuleFiles,
    duration,
    say_of_late,
    sorted_out,
    spare_the_collector,
)
from tocsin.cli.rules_options import OverlayFile, SiteConfig, site_rules
from tocsin.clock import to_ms
from tocsin.model.alert import Alert, Change, ChangeKind, as_record
from tocsin.model.compiled import RuleSet
from tocsin.model.rule import SEVERITIES, severity_rank
from tocsin.protocols import Batch, Windows
from tocsin.rules.tools.reach import unread_told
from tocsin.sources.file import STDIN
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Ahead, Replay

LEFT_BEHIND = timedelta(days=7)  # how long a killed replay's keys stay on the server


def replay(  # noqa: PLR0917 - a command's options are its parameters
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help=FORMATS),
    ],
    rules: RuleFiles = None,
    store: Annotated[
        str, typer.Option(metavar="memory|URL", help="Where windows are kept: memory, redis://… or unix://…")
    ] = "memory",
    allowed_lateness: Lateness = "60s",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Let event time run on to here at the end (ISO 8601).")
    ] = None,
    output: Annotated[
        str, typer.Option("--format", metavar="text|json", help="How to write alerts.")
    ] = "text",
    fail_on: Annotated[
        str | None, typer.Option(metavar="SEVERITY", help="Exit 1 if an alert of at least this opens.")
    ] = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
    geo: Annotated[
        list[Path] | None,
        typer.Option("--geo", metavar="FILE", help="Where addresses are: a file in MaxMind's format."),
    ] = None,
) -> None:
    """Show what the rules say of past events, in event time.

    One line for each alert that opens, grows more severe, or resolves; the same events give the same
    lines in whatever order they come, as long as none is later than allowed.

    Example: tocsin replay logs.ndjson.gz --rules rules/auth0 --format json
    """
    files, paths = sorted_out(files, rules)
    run = _Run(
        site_rules(paths, config, overlay, geo=geo or ()).ruleset,
        as_json=_one_of(output, ("text", "json"), "--format") == "json",
        fail_rank=None if fail_on is None else severity_rank(_one_of(fail_on, SEVERITIES, "--fail-on")),
    )
    lateness = duration(allowed_lateness, "--allowed-lateness")
    until_ms = None if until is None else _moment(until)
    # What comes through a pipe may take its time, and is told of before more is waited for.
    with _windows(store, meanwhile=None if STDIN in files else run.ahead.take) as windows:
        run.over(files, Replay(run.ruleset, windows, lateness=lateness), until_ms)
    raise typer.Exit(1 if run.failed else 0)


class _Run:
    """One replay: its output, and what there is to say at its end."""

    def __init__(self, ruleset: RuleSet, *, as_json: bool, fail_rank: int | None) -> None:
        self.ruleset = ruleset
        self.ahead: Ahead[tuple[Batch, int]] = Ahead()
        self.failed = False
        self._as_json = as_json
        self._fail_rank = fail_rank
        self._opened = 0
        self._titles: dict[str, tuple[object, str]] = {}  # of the alerts that fire
        self._encode = msgspec.json.Encoder().encode

    def over(self, files: list[str], run: Replay, until_ms: int | None) -> None:
        """Read the files as one stream, tell each change, and sum up on standard error."""
        spare_the_collector()
        reading = Reading(files, self.ruleset, "replay")
        providers: set[str] = set()
        for batch, newest_ms in self.ahead.over(iter(reading)):
            providers.update(event.provider for event in batch.events)
            self._tell(run.feed(batch.events, newest_ms))
        self._tell(run.finish(until_ms))
        for provider in sorted(providers):
            if told := unread_told(self.ruleset, provider, "these files"):
                typer.echo(told, err=True)
        self.failed = self.failed or reading.failed
        if reading.failed and not reading.events + reading.bad:
            return  # nothing could be read, and that was said
        late = f", {run.late:,} late" if run.late else ""
        bad = f", {reading.bad:,} undecodable" if reading.bad else ""
        typer.echo(f"{reading.events:,} events{late}{bad}: {self._opened:,} alerts", err=True)
        say_of_late(run.late, run.latest)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind is ChangeKind.OPENED:
                self._opened += 1
            if self._fail_rank is not None and severity_rank(change.alert.severity) >= self._fail_rank:
                self.failed = True
            if not self._as_json:
                print_change(change)
        if self._as_json and changes:
            typer.echo(b"\n".join([self._line(change.alert) for change in changes]))

    def _line(self, alert: Alert) -> bytes:
        """The alert as JSON. Its title is made anew only when something changed that it may tell."""
        told = (alert.score, alert.floor, alert.severity, alert.started_ms, alert.evidence.total)
        before, text = self._titles.pop(alert.id, (None, ""))
        if told != before:
            text = title(alert)
        if alert.status == "firing":
            self._titles[alert.id] = (told, text)
        return self._encode(as_record(alert, text))


@contextmanager
def _windows(store: str, *, meanwhile: Callable[[], None] | None) -> Iterator[Windows]:
    """The window store; on a server under a random prefix that is erased at the end.

    `meanwhile` is called while a server works.
    """
    if store == "memory":
        yield MemoryWindows()
        return
    from tocsin.state.connection import open_store
    from tocsin.state.windows_redis import RedisWindows

    opened = open_store(store, prefix=f"tocsin-replay-{secrets.token_hex(8)}")
    opened.expire(LEFT_BEHIND)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield RedisWindows(opened, meanwhile=meanwhile)
    finally:
        signal.signal(signal.SIGTERM, before)
        opened.erase()
        opened.close()


def _end(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a replay as Ctrl-C does: what it left on the server is removed."""
    del frame
    raise SystemExit(128 + number)


def _one_of(value: str, allowed: Sequence[str], option: str) -> str:
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of: {', '.join(allowed)}", param_hint=option)
    return value


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        example = "2015-04-20T00:00:00Z"
        raise typer.BadParameter(
            f"{text!r} is not a time; write one like {example}", param_hint="--until"
        ) from exc
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
