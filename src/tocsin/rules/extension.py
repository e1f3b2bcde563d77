"""Reading the `tocsin:` key: params, category, correlate, alert, tests. Unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tocsin.model.rule import SeverityBound
from tocsin.rules.cases import read_cases
from tocsin.rules.correlation_spec import read_correlation
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.document import Table
from tocsin.rules.lints.headline import USUAL
from tocsin.rules.params import Param, substituted
from tocsin.rules.prefixes import Prefixes, as_spelled, read_prefixes, warn_of_unused
from tocsin.rules.section import Section
from tocsin.rules.spec import AlertSpec, Extension, severity_at
from tocsin.sandbox import TemplateFailure, compile_template

_CORRELATE, _CORRELATION = "tocsin.correlate", "correlation"
_COUNTING = ("allow_missing", "group-by", "timespan", "condition", "field")
_OF_AN_ALERT = dict.fromkeys(
    ("context", "for", "key", "labels", "resolve_after", "runbook", "severity"), "tocsin.alert"
)
LONGEST_TITLE = 2_000  # characters; it is one line in a message


def read_extension(
    section: Section | None, params: Mapping[str, Param], vocabulary: Vocabulary | None
) -> Extension:
    """The `tocsin:` key of a detection; or, without a vocabulary of its own, of a `correlation` document.

    Params stand in place of `$name`.
    """
    correlation = vocabulary is None
    if section is None:
        return Extension(params=params)
    section.node("params")  # read before, because the rest depends on them
    correlate = _substituted(section, "correlate", params)
    if correlation and correlate:
        section.wrong("correlate", "this document is a correlation already; remove tocsin.correlate")
        correlate = None
    counting = read_correlation(correlate, params, vocabulary) if correlate else None
    category = section.scalars("category")
    if correlation and category:
        section.wrong("category", "a correlation has no events of its own; name the category in its rules")
    networks = _substituted(section, "prefixes", params)
    prefixes: Prefixes = read_prefixes(networks)
    alert = _substituted(section, "alert", params)
    alerting = _alert(alert, counts=correlation or correlate is not None) if alert else AlertSpec()
    if vocabulary is not None:
        used = (*((*counting.group_by, *counting.fields) if counting else ()), *alerting.key)
        warn_of_unused(networks, used, vocabulary)
        prefixes = as_spelled(prefixes, used, vocabulary)
    if counting is not None and prefixes:
        counting = replace(counting, prefixes=prefixes)
    found = Extension(
        params=params,
        categories=category,
        correlate=counting,
        prefixes=prefixes,
        # What the bounds mean depends on how matches are counted: after a mistake nobody knows.
        alert=replace(alerting, severity=()) if correlate and not counting else alerting,
        tests=read_cases(section),
    )
    section.done({**_OF_AN_ALERT, **dict.fromkeys(_COUNTING, _CORRELATION if correlation else _CORRELATE)})
    return found


def _substituted(section: Section, key: str, params: Mapping[str, Param]) -> Section | None:
    within = section.section(key, f"tocsin.{key}")
    if within is None:
        return None
    table = substituted(within.table, params, section.problems)
    if not isinstance(table, Table):
        return None
    return Section(table, within.name, section.problems)


def _alert(section: Section, *, counts: bool) -> AlertSpec:
    key = section.names("key", "data.ip", none=True)
    if key and counts:
        section.wrong("key", "a correlation's alert is about its group-by; remove key")
    found = AlertSpec(
        title=_title(section),
        severity=tuple(bound for within in section.sections("severity") if (bound := _bound(within))),
        resolve_after_ms=section.duration_ms("resolve_after"),
        for_ms=section.duration_ms("for") or 0,
        key=key,
        labels=section.text_map("labels"),
        runbook=section.text("runbook"),
        context=section.names("context", "data.ip", none=True),
    )
    section.done()
    return found


def _title(section: Section) -> str:
    title = section.text("title")
    if len(title) > LONGEST_TITLE:
        section.wrong("title", f"title has {len(title)} characters; it may have {LONGEST_TITLE}")
        return ""
    if USUAL.fullmatch(title):
        return title
    try:
        compile_template(title)
    except TemplateFailure as exc:
        section.wrong("title", f"title is no template: {exc}")
    return title


def _bound(section: Section) -> SeverityBound | None:
    gte, severity = section.number("gte"), severity_at(section, "is", "severity")
    if section.lacks("gte") or section.lacks("is"):
        section.problems.error(section.mark, "a severity bound needs both, like {gte: 200, is: critical}")
    section.done()
    return SeverityBound(gte, severity) if gte is not None and severity else None
