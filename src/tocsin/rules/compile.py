"""Documents to rules that can alert, ready to run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin.model.compiled import CompiledRule
from tocsin.model.rule import Rule, Severity, severity_rank
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.detections import Detection, flat_fields, readers
from tocsin.rules.names import Names
from tocsin.rules.overlay import Override
from tocsin.rules.spec import AlertSpec, CorrelationDoc, CorrelationSpec, DetectionDoc, Extension, Meta
from tocsin.rules.tree import text_of

PLAIN_RESOLVE_AFTER_MS = 900_000
LONGEST_RESOLVE_AFTER_MS = 86_400_000
GENERATED = ".events"  # what a detection's own alerts are called beside those of its `correlate`


@dataclass(frozen=True, slots=True)
class Made:
    """A compiled rule, and the top-level fields it reads. `not_running`: why it cannot run.

    `doc`, `bases` and `spec` are what it was made of: its document, the detections it matches
    with, and how it counts their matches (None: every match is a trigger).
    """

    compiled: CompiledRule
    fields: frozenset[str]
    doc: DetectionDoc | CorrelationDoc
    bases: tuple[Detection, ...]
    spec: CorrelationSpec | None = None
    not_running: str = ""


def plain_rule(detection: Detection, override: Override, *, beside_correlation: bool) -> Made:
    """A detection that alerts itself: every match is a trigger."""
    doc = detection.doc
    # Beside its own correlation the detection's knobs, title and bounds are the correlation's.
    alert = AlertSpec(context=doc.extension.alert.context) if beside_correlation else doc.extension.alert
    suffix = GENERATED if beside_correlation else ""
    rule = _rule(
        doc.meta,
        doc.extension,
        alert,
        override,
        suffix=suffix,
        product=doc.product,
        severity=doc.meta.level or "medium",
        group_by=alert.key,
        resolve_after_ms=PLAIN_RESOLVE_AFTER_MS,
    )
    compiled = CompiledRule(
        rule, (detection.matcher(alert.key),), context=readers(alert.context, doc.product)
    )
    flat = flat_fields((*alert.key, *alert.context), doc.product)
    return Made(compiled, detection.fields | flat, doc, (detection,), not_running=detection.not_running)


def shorthand_rule(detection: Detection, spec: CorrelationSpec, override: Override) -> Made:
    """A detection with `tocsin.correlate`."""
    return _counting_rule(detection.doc, spec, [detection], override)


def correlation_rule(
    doc: CorrelationDoc, spec: CorrelationSpec, bases: Sequence[Detection], override: Override
) -> Made:
    """Sigma's correlation document over its base rules."""
    return _counting_rule(doc, spec, bases, override)


def bases_of(doc: CorrelationDoc, names: Names) -> list[DetectionDoc]:
    """The detections that a correlation names; fewer than it names after a mistake."""
    found: list[DetectionDoc] = []
    for reference in doc.references:
        meant = names.find(reference, doc.problems)
        if isinstance(meant, CorrelationDoc):
            doc.problems.error(
                reference.mark,
                f'"{reference.text}" is a correlation; this version does not run chains, name a detection',
            )
        elif isinstance(meant, DetectionDoc):
            found.append(meant)
    if doc.correlation is not None:
        _check_aliases(doc, doc.correlation)
    return found


def _check_aliases(doc: CorrelationDoc, spec: CorrelationSpec) -> None:
    named = [reference.text for reference in spec.rules]
    for alias, fields in spec.aliases.items():
        missing = [name for name in named if name not in fields]
        for name in [name for name in fields if name not in named]:
            doc.problems.error(
                spec.mark, f'alias "{alias}" names "{name}", which is not in rules; add it there'
            )
        if missing:
            doc.problems.error(spec.mark, f'alias "{alias}" has no field for "{missing[0]}"; add one')


def _counting_rule(
    doc: DetectionDoc | CorrelationDoc,
    spec: CorrelationSpec,
    bases: Sequence[Detection],
    override: Override,
) -> Made:
    meta, alert = doc.meta, doc.extension.alert
    groups = [_fields_for(spec, position, spec.group_by) for position in range(len(bases))]
    values = [_fields_for(spec, position, spec.fields) for position in range(len(bases))]
    products = {base.doc.product for base in bases}
    product = bases[0].doc.product if len(products) == 1 else ""
    rule = _rule(
        meta,
        doc.extension,
        alert,
        override,
        type_=spec.type,
        product=product,
        severity=meta.level or _highest_level(bases),
        group_by=spec.group_by,
        timespan_ms=spec.timespan_ms,
        threshold=spec.bounds.threshold,
        allow_missing=spec.allow_missing,
        resolve_after_ms=min(spec.timespan_ms, LONGEST_RESOLVE_AFTER_MS),
    )
    highest = max([spec.highest, *(math.ceil(bound.gte) for bound in alert.severity)])
    state = _state(rule, bases, groups, values, spec)
    compiled = CompiledRule(
        rule,
        tuple(base.matcher(group, value) for base, group, value in zip(bases, groups, values, strict=True)),
        CORRELATIONS[spec.type].build(state, spec.timespan_ms, spec.bounds, highest),
        readers(alert.context, bases[0].doc.product),
    )
    flat = [
        base.fields | flat_fields((*group, *value, *alert.context), base.doc.product)
        for base, group, value in zip(bases, groups, values, strict=True)
    ]
    stopped = [base for base in bases if base.not_running]
    reason = stopped[0].not_running if stopped else ""
    if stopped and stopped[0].doc.meta.id != meta.id:
        reason = f'its rule "{stopped[0].doc.meta.label}" does not run: {reason}'
    return Made(compiled, frozenset().union(*flat), doc, tuple(bases), spec, reason)


def _fields_for(spec: CorrelationSpec, position: int, fields: Sequence[str]) -> tuple[str, ...]:
    """The fields as the base rule of that position calls them."""
    if not spec.rules:
        return tuple(fields)
    base = spec.rules[position].text
    return tuple(spec.aliases[field].get(base, field) if field in spec.aliases else field for field in fields)


def _literal(title: str) -> str:
    """A template that says just this: a title is no template, whatever it holds."""
    return title.replace("{", "{{ '{' }}")


def _highest_level(bases: Sequence[Detection]) -> Severity:
    levels = [base.doc.meta.level for base in bases if base.doc.meta.level]
    return max(levels, key=severity_rank) if levels else "medium"


def _state(
    rule: Rule,
    bases: Sequence[Detection],
    groups: Sequence[tuple[str, ...]],
    values: Sequence[tuple[str, ...]],
    spec: CorrelationSpec,
) -> str:
    """The name of the rule's windows: another one only for another selection, group or timespan."""
    selections = [(base.doc.product, text_of(base.tree)) for base in bases]
    told = repr((rule.id, selections, groups, values, spec.timespan_ms, spec.type, spec.allow_missing))
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _rule(
    meta: Meta,
    extension: Extension,
    alert: AlertSpec,
    override: Override,
    *,
    severity: Severity,
    resolve_after_ms: int,
    product: str,
    group_by: tuple[str, ...],
    type_: str = "detection",
    suffix: str = "",
    timespan_ms: int = 0,
    threshold: float | None = None,
    # A detection's `key` only says what an alert is about: no alert is lost for want of it.
    allow_missing: bool = True,
) -> Rule:
    labels: Mapping[str, str] = {**alert.labels, **override.labels}
    return Rule(
        name=meta.label + suffix,
        id=meta.id + suffix,
        title=meta.title,
        severity=override.severity or severity,
        type=type_,
        file=meta.file,
        line=meta.mark.line,
        status=meta.status,
        description=meta.description,
        author=meta.author,
        product=product,
        tags=meta.tags,
        references=meta.references,
        falsepositives=meta.falsepositives,
        group_by=group_by,
        timespan_ms=timespan_ms,
        threshold=threshold,
        allow_missing=allow_missing,
        headline=alert.title or _literal(meta.title),
        runbook=alert.runbook,
        context=alert.context,
        labels=labels,
        params={name: param.shown for name, param in extension.params.items()},
        severity_bounds=alert.severity,
        resolve_after_ms=resolve_after_ms if alert.resolve_after_ms is None else alert.resolve_after_ms,
        for_ms=alert.for_ms,
    )
