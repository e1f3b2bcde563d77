"""`tocsin tune`: what other values of a rule's params would have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated

import msgspec
import typer

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
from tocsin.cli.rules_options import Format, OutputFormat, OverlayFile, SiteConfig, site_rules, unknown_rule
from tocsin.cli.table import on_terminal, print_table
from tocsin.errors import Error, RuleErrors, TuneError
from tocsin.rules.load import Loaded
from tocsin.rules.made import Made
from tocsin.rules.spec import FilterDoc
from tocsin.tune.candidates import combinations, left_out, overlay_of
from tocsin.tune.knobs import knobs_of, overlays, shortest
from tocsin.tune.sweep import Candidate, Row, Sweep

NOW = "now"
TRIED = "overlay"  # the file that the mistakes in what is tried are told of
VALUES = "5:200, 5:200:5 or 5,10,20 [default: around the threshold]. Given twice: every combination."


def tune(  # noqa: PLR0917 - a command's options are its parameters
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's name or id.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="More files of events, or of rules.")
    ] = None,
    events: Annotated[list[str] | None, typer.Option("--events", metavar="FILE…", help=FORMATS)] = None,
    param: Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUES", help=VALUES)] = None,
    rules: RuleFiles = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
    allowed_lateness: Lateness = "60s",
    output: OutputFormat = Format.text,
) -> None:
    """What other values of a rule's params would have done.

    A row for each candidate: alerts, alerts a day (of less than a day: in all), what they are about,
    and when the first and the last of them started. The row of the present values says "now"; of a
    range, values that the param's bounds do not allow are left out.

    Example: tocsin tune failed_logins_from_ip --events logs.ndjson.gz --param threshold=5:200
    """
    files, paths = sorted_out([*(events or []), *(more or [])], rules)
    loaded = site_rules(paths, config, overlay)
    made = _named(rule, loaded.made)
    knobs = knobs_of(made)
    params = {name: knob.param for name, knob in knobs.items()}
    asked = shortest(param or [], made, knobs)
    candidates = [
        Candidate(
            values,
            _tried(made, loaded, overlays(values, knobs), config, overlay),
            tuple(f"{name}={text}" for name, text in values.items() if knobs[name].counted),
        )
        for values in combinations(params, asked, _threshold_param(made))
    ]
    for told in left_out(asked, params):
        typer.echo(told, err=True)
    _say_who_is_told(made, loaded.made)
    sweep = Sweep(candidates, lateness=duration(allowed_lateness, "--allowed-lateness"))
    spare_the_collector()
    reading = Reading(files, sweep.ruleset, "tune")
    for batch, newest_ms in reading:
        sweep.feed(batch, newest_ms)
    rows = sweep.finish()
    if reading.events + reading.bad or not reading.failed:  # else nothing could be read, and that was said
        _tell(made, rows, reading, sweep, output)
    raise typer.Exit(1 if reading.failed else 0)


def _tell(made: Made, rows: Sequence[Row], reading: Reading, sweep: Sweep, output: Format) -> None:
    if output is Format.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(_record(made, rows, reading, sweep))).decode())
        return
    _print(made, rows)
    late = f", {sweep.late:,} late" if sweep.late else ""
    bad = f", {reading.bad:,} undecodable" if reading.bad else ""
    typer.echo(f"{reading.events:,} events{late}{bad} of {sweep.days:.1f} days", err=True)
    say_of_late(sweep.late, sweep.latest)


def _tried(
    made: Made,
    loaded: Loaded,
    values: Mapping[str, Mapping[str, str]],
    config: Path | None,
    overlay: Path | None,
) -> Made:
    """The rule with these params, of its own files alone: so that hundreds of them load in no time."""
    try:
        tried = site_rules(_files(made, loaded), config, overlay, tried=overlay_of(values))
    except RuleErrors as exc:
        raise _refused(exc, values) from exc
    return _named(made.compiled.rule.name, tried.made)


def _refused(exc: RuleErrors, values: Mapping[str, Mapping[str, str]]) -> Error:
    """What is wrong with a value, told of the option it was given in: the overlay is nobody's file."""
    for error in exc.errors:
        for params in values.values():
            for name, text in params.items():
                if error.file == TRIED and f'"{name}"' in error.message:
                    return TuneError(f"--param {name}={text}: {error.message}")
    return exc


def _threshold_param(made: Made) -> str:
    """The param that sets the threshold, as far as its value shows; empty when none does."""
    params, threshold = made.doc.extension.params, made.compiled.rule.threshold
    fitting = [name for name, param in params.items() if threshold is not None and param.shown == threshold]
    return "threshold" if "threshold" in fitting else next(iter(fitting), "")


def _named(name: str, made: Sequence[Made]) -> Made:
    for one in made:
        if name in (one.compiled.rule.name, one.compiled.rule.id):
            if one.not_running:
                raise TuneError(f'"{name}" does not run: {one.not_running}')
            return one
    raise unknown_rule(name, [one.compiled.rule.name for one in made])


def _say_who_is_told(made: Made, rules: Sequence[Made]) -> None:
    """Of a rule that only others count: nobody is told of the alerts in its rows."""
    name = made.compiled.rule.name
    parents = [
        one.compiled.rule.name for one in rules if any(child.doc is made.doc for child in one.children)
    ]
    if parents and not made.compiled.alerts:
        typer.echo(
            f"{name} only feeds {' and '.join(parents)}: nobody is told of what it finds alone; "
            f"tocsin tune {parents[0]} takes its params, and counts what would be told",
            err=True,
        )


def _files(made: Made, loaded: Loaded) -> list[Path]:
    """The files that the rule is made of, those of filters included."""
    docs = {id(doc.meta): doc.meta.file for doc in loaded.docs if isinstance(doc, FilterDoc)}
    todo = [made]
    while todo:
        one = todo.pop()
        docs |= {id(doc.meta): doc.meta.file for doc in (one.doc, *(base.doc for base in one.bases))}
        todo += one.children
    return [Path(file) for file in sorted(set(docs.values()))]


def _print(made: Made, rows: Sequence[Row]) -> None:
    """A line for each candidate; on a terminal one for those in a row of which it would say the same."""
    names = list(rows[0].values)
    about = " + ".join(made.compiled.rule.group_by) or "groups"
    short = on_terminal()
    told = [_cells(made, row, short=short) for row in rows]
    place = len(names) - 1  # of the value that changes from row to row
    if short:
        runs = [list(run) for _, run in groupby(told, lambda cells: (*cells[:place], *cells[place + 1 :]))]
        told = [(*run[0][:place], _from_to(run, place), *run[0][place + 1 :]) for run in runs]
    zone = " (UTC)" if short else ""
    columns = (*names, "", "alerts", "a day", about, f"first{zone}", f"last{zone}")
    print_table(columns, told, empty="no candidates", spare=columns[-2:])


def _from_to(run: Sequence[Sequence[str]], place: int) -> str:
    first, last = run[0][place], run[-1][place]
    return first if first == last else f"{first}-{last}"


def _cells(made: Made, row: Row, *, short: bool) -> tuple[str, ...]:
    return (
        *row.values.values(),
        NOW if _is_now(made, row) else "",
        f"{row.alerts:,}",
        f"{row.per_day:,.1f}",
        f"{row.groups:,}",
        _moment(row.first, short=short),
        _moment(row.last, short=short),
    )


def _is_now(made: Made, row: Row) -> bool:
    knobs = knobs_of(made)
    return all(", ".join(knobs[name].param.texts) == value for name, value in row.values.items())


def _moment(at: datetime | None, *, short: bool) -> str:
    if at is None:
        return "-"
    return f"{at:%Y-%m-%d %H:%M}" if short else f"{at:%Y-%m-%d %H:%M:%S}Z"


def _record(made: Made, rows: Sequence[Row], reading: Reading, sweep: Sweep) -> dict[str, object]:
    return {
        "rule": made.compiled.rule.name,
        "events": reading.events,
        "undecodable": reading.bad,
        "late": sweep.late,
        "days": round(sweep.days, 4),
        "candidates": [
            {
                "params": dict(row.values),
                "now": _is_now(made, row),
                "alerts": row.alerts,
                "alerts_per_day": round(row.per_day, 4),
                "groups": row.groups,
                "first": row.first,
                "last": row.last,
            }
            for row in rows
        ],
    }
