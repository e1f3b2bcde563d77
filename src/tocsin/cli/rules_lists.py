"""`tocsin rules list`, `params` and `coverage`: what a set of rules is, needs and covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import typer

from tocsin.cli.rules_options import (
    Format,
    OutputFormat,
    OverlayFile,
    Paths,
    SiteConfig,
    overlay_of,
    site_rules,
)
from tocsin.cli.table import print_table
from tocsin.rules.overlay import Overlay, read_overlay
from tocsin.rules.params import Param
from tocsin.rules.spec import CorrelationDoc, DetectionDoc, FilterDoc
from tocsin.rules.tools.coverage import Coverage, coverage_of
from tocsin.rules.tools.listing import Line, line_of

LIST_COLUMNS = ("rule", "level", "att&ck", "type", "window", "params", "event codes", "stream filters")
LIST_FLOWING = ("att&ck", "type", "params", "event codes", "stream filters")
LIST_SPARE = ("type", "window", "att&ck", "params", "event codes", "stream filters")
PARAM_COLUMNS = ("rule", "param", "value", "default", "bounds", "from", "what")
COVERAGE_COLUMNS = ("", "name", "covered", "by", "not covered")
ANY = "any"


def list_(
    paths: Paths = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
    output: OutputFormat = Format.text,
) -> None:
    """The rules: how bad, how they count, what they need.

    The last column names the Auth0 log-stream filters that let a rule's events through: a stream
    that is filtered otherwise never carries them. `(no filter)` is of events that only a stream
    without filters carries, `any` of a rule that needs every event.

    Example: tocsin rules list rules/auth0 --overlay overlay.yml
    """
    lines = [line_of(made) for made in site_rules(paths, config, overlay).made]
    if output is Format.json:
        _print_json(lines)
        return
    rows = [
        (
            line.name,
            line.level,
            " ".join(line.techniques),
            _type(line),
            line.window,
            _assigned(line.params),
            _or_any(line.codes),
            _or_any(line.stream_filters),
        )
        for line in lines
    ]
    print_table(LIST_COLUMNS, rows, empty="no rules", flowing=LIST_FLOWING, spare=LIST_SPARE)


@dataclass(frozen=True, slots=True)
class Knob:
    """A param of a rule: what it is now, what it may be, and where that was said."""

    rule: str
    param: str
    value: str
    default: str
    least: str
    most: str
    place: str
    help: str


def params(
    paths: Paths = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
    output: OutputFormat = Format.text,
) -> None:
    """The rules' params: values, bounds, and where each was set.

    The place is the rule's own file, or the overlay where it sets another value. What else the
    overlay changes of a rule (level, enabled, labels) follows its params.

    Example: tocsin rules params rules/auth0 --overlay overlay.yml
    """
    docs = site_rules(paths, config, overlay).docs
    site = read_overlay(overlay_of(config, overlay))
    knobs = [
        knob
        for doc in docs
        if not isinstance(doc, FilterDoc)
        for knob in (
            *(_knob(doc.meta.label, param) for param in doc.extension.params.values()),
            *_changed(doc, site),
        )
    ]
    if output is Format.json:
        _print_json(knobs)
        return
    rows = [(k.rule, k.param, k.value, k.default, _bounds(k.least, k.most), k.place, k.help) for k in knobs]
    spare = ("bounds", "default", "from")
    print_table(PARAM_COLUMNS, rows, empty="no params", flowing=("value", "what"), spare=spare, headed=True)


def coverage(
    paths: Paths = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
    output: OutputFormat = Format.text,
) -> None:
    """ATT&CK techniques and event codes: covered and not.

    The techniques are those that the log of an identity provider can show, and any that a rule names.

    Example: tocsin rules coverage rules/auth0 --format json
    """
    found = coverage_of(site_rules(paths, config, overlay).made)
    if output is Format.json:
        _print_json(found)
        return
    print_table(
        COVERAGE_COLUMNS,
        [*_coverage_rows(found)],
        empty="no rules",
        flowing=("name", "by", "not covered"),
        spare=("covered", "by"),
        headed=True,
    )


def _type(line: Line) -> str:
    if line.not_running:
        return f"{line.type}, not running: {line.not_running}"
    return line.type if line.alerts else f"{line.type}, only counted by others"


def _coverage_rows(found: Coverage) -> Iterator[Sequence[str]]:
    for technique in found.techniques:
        shown = f"{technique.technique} {technique.name}".strip()
        by, gap = " ".join(technique.rules), "" if technique.rules else "no rule"
        yield "technique", shown, str(len(technique.rules)), by, gap
    for group in found.categories:
        of = f"{len(group.covered)}/{len(group.covered) + len(group.uncovered)}"
        covered, uncovered = " ".join(group.covered), " ".join(group.uncovered)
        yield group.provider, group.category, of, covered, uncovered
    if found.any_code:
        yield "any code", "", str(len(found.any_code)), " ".join(found.any_code), ""


def _knob(rule: str, param: Param) -> Knob:
    value, default = ", ".join(param.texts), ", ".join(scalar.text for scalar in param.default)
    return Knob(rule, param.name, value, default, param.least, param.most, param.place, param.help)


def _changed(doc: DetectionDoc | CorrelationDoc, site: Overlay) -> Iterator[Knob]:
    """What the overlay says of a rule beside its params; a default is what the rule's file says."""
    override, own = site.of(doc.meta), doc.extension.alert.labels
    for setting, mark in override.marks.items():
        label = setting.removeprefix("label.")
        if setting == "enabled":
            value, default = str(override.enabled).lower(), "true"
        elif setting == "level":
            value, default = override.severity or "", doc.meta.level or ""
        else:
            value, default = override.labels.get(label, ""), own.get(label, "")
        place = f"{site.problems.file}:{mark.line}"
        yield Knob(doc.meta.label, setting, value, default, "", "", place, "set by the overlay")


def _bounds(least: str, most: str) -> str:
    return f"{least}..{most}" if least or most else ""


def _assigned(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _or_any(names: Iterable[str] | None) -> str:
    return ANY if names is None else " ".join(name or "''" for name in names)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
