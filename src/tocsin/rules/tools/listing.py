"""What a rule is, in one line: how bad, of which technique, how it counts, and which events it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tocsin.catalog import PROVIDERS, codes
from tocsin.clock import format_duration
from tocsin.model.rule import Rule
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.detection.detections import Detection
from tocsin.rules.made import Made

_TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)", re.IGNORECASE)
UNFILTERED = "(no filter)"  # of a code that no log-stream filter names: only a whole stream carries it


@dataclass(frozen=True, slots=True)
class Line:
    """A rule in one line.

    `codes` are the event codes that can match, as the catalogue spells them; None where any can.
    `stream_filters` are the log-stream filters that let those codes through, None where the rule
    needs every event; empty for a provider whose streams have no filters. `alerts` is False of a
    correlation that only other correlations count.
    """

    name: str
    level: str
    techniques: tuple[str, ...]
    type: str
    window: str
    params: Mapping[str, float | str]
    product: str
    codes: tuple[str, ...] | None
    stream_filters: tuple[str, ...] | None
    title: str
    file: str
    line: int
    not_running: str
    alerts: bool = True


def line_of(made: Made) -> Line:
    """The line of one rule."""
    rule = made.compiled.rule
    needed = needed_codes(made.bases)
    return Line(
        name=rule.name,
        level=rule.severity,
        techniques=techniques(rule.tags),
        type=rule.type,
        window=_window(rule),
        params=rule.params,
        product=rule.product,
        codes=needed,
        stream_filters=_stream_filters(rule.product, needed),
        title=rule.title,
        file=rule.file,
        line=rule.line,
        not_running=made.not_running,
        alerts=made.compiled.alerts,
    )


def _window(rule: Rule) -> str:
    """How long its window is; empty where it has none."""
    windowed = rule.type not in CORRELATIONS or CORRELATIONS[rule.type].windowed
    return format_duration(timedelta(milliseconds=rule.timespan_ms)) if windowed and rule.timespan_ms else ""


def techniques(tags: Iterable[str]) -> tuple[str, ...]:
    """The ATT&CK techniques among a rule's tags, like `T1110.003`."""
    return tuple(found[1].upper() for tag in tags if (found := _TECHNIQUE.fullmatch(tag)))


def needed_codes(bases: Iterable[Detection]) -> tuple[str, ...] | None:
    """The codes whose events can match, as the catalogue spells them; None where those of any code can."""
    found: list[str] = []
    for base in bases:
        named = base.codes
        if named is None:
            return None
        found += _as_catalogued(base.doc.product, named)
    return tuple(dict.fromkeys(found))


def _as_catalogued(product: str, named: Iterable[str]) -> list[str]:
    """Each code once: the index holds spellings of it, too, and of any product ECS documents, without one."""
    folded = {code.casefold() for code in named if code or product}
    known = [code for name in providers_of(product) for code in codes(name) if code.casefold() in folded]
    return [*known, *sorted(folded - {code.casefold() for code in known})]


def providers_of(product: str) -> tuple[str, ...]:
    """The providers whose events a rule of this product reads: of none it is all of them."""
    return (product,) if product else tuple(PROVIDERS)


def _stream_filters(product: str, needed: Sequence[str] | None) -> tuple[str, ...] | None:
    filters: set[str] = set()
    for provider in providers_of(product):
        catalogue = codes(provider)
        if any(code.stream_filter for code in catalogue.values()):
            if needed is None:
                return None
            filters |= {catalogue[code].stream_filter or UNFILTERED for code in needed if code in catalogue}
    return tuple(sorted(filters))
