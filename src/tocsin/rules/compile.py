"""Documents to rules that can alert, ready to run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tocsin.model.compiled import CompiledRule
from tocsin.model.place import Locator
from tocsin.model.rule import Rule, Severity, severity_rank
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.detections import Detection
from tocsin.rules.detection.tree import text_of
from tocsin.rules.detection.view import warn_of_names
from tocsin.rules.document import Node, Table
from tocsin.rules.inputs import fields_for, fields_read, group_readers, matchers_of
from tocsin.rules.joined_prefixes import warn_of_prefixes
from tocsin.rules.made import Base, Made
from tocsin.rules.overlay import Override
from tocsin.rules.prefixes import as_spelled, prefixed
from tocsin.rules.problems import Mark, did_you_mean, nearest
from tocsin.rules.spec import AlertSpec, CorrelationDoc, DetectionDoc, Extension, Meta

PLAIN_RESOLVE_AFTER_MS = 900_000
LONGEST_RESOLVE_AFTER_MS = 86_400_000
GENERATED = ".events"  # what a detection's own alerts are called beside those of its `correlate`


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
    key = prefixed(detection.readers(alert.key), alert.key, doc.extension.prefixes)
    matcher = detection.matcher()
    compiled = CompiledRule(
        rule,
        (replace(matcher, group_by=key) if key else matcher,),
        context=detection.readers(alert.context),
        group=key,
    )
    flat = detection.flat((*alert.key, *alert.context))
    return Made(compiled, detection.fields | flat, doc, (detection,), not_running=detection.not_running)


def correlation_rule(
    doc: DetectionDoc | CorrelationDoc,
    spec: CorrelationSpec,
    bases: Sequence[Base],
    override: Override,
    locator: Locator | None = None,
) -> Made | None:
    """A correlation over its base rules; a detection's own `correlate` over it. None after a mistake."""
    if not _names_fit(doc, spec, bases):
        return None
    rule = _counting_rule(doc, spec, bases, override)
    _warn_of_severities(doc, bases)
    children = tuple(base for base in bases if isinstance(base, Made))
    detections = _detections(bases)
    for detection in detections if spec.prefixes else ():
        own = [name for name in (*spec.group_by, *spec.fields) if name not in spec.aliases]
        spec = replace(spec, prefixes=as_spelled(spec.prefixes, own, detection.doc.vocabulary))
    if isinstance(doc, CorrelationDoc):
        warn_of_prefixes(doc, spec, bases, [detection.doc.vocabulary for detection in detections])
    highest = max([spec.highest, *(math.ceil(bound.gte) for bound in doc.extension.alert.severity)])
    compiled = CompiledRule(
        rule,
        matchers_of(spec, bases, locator),
        CORRELATIONS[spec.type].build(_state(rule, spec, bases), spec, highest),
        detections[0].readers(rule.context),
        group_readers(spec, bases),
        depth=max([child.compiled.depth + 1 for child in children], default=0),
    )
    fields = fields_read(spec, bases, rule.context)
    reason = _not_running(doc, bases) or _unable(doc, spec, locator)
    return Made(compiled, fields, doc, detections, spec, reason, children)


def _warn_of_severities(doc: DetectionDoc | CorrelationDoc, bases: Sequence[Base]) -> None:
    """Note bounds at or below the level that is the rule's where it writes none."""
    bounds = () if doc.meta.level else doc.extension.alert.severity
    level = _highest_level(bases) if bounds else "medium"
    for bound in bounds:
        if severity_rank(bound.severity) <= severity_rank(level):
            told = f"severity never falls, and without a level of its own the rule's is {level}"
            mark = _key_mark(doc.root, "tocsin", "alert", "severity")
            doc.problems.warning(mark, f"{told}: {bound.severity} changes nothing; write level, or remove it")


def _names_fit(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec, bases: Sequence[Base]) -> bool:
    """Note aliases that fit no rule, and fields that a counted correlation does not know."""
    before = len(doc.problems.errors)
    if isinstance(doc, CorrelationDoc):
        _check_aliases(doc, spec)
    for position, base in enumerate(bases):
        named = fields_for(spec, position, (*spec.group_by, *spec.fields))
        if not isinstance(base, Made):
            if isinstance(doc, CorrelationDoc):
                warn_of_names(named, base.vocabulary, doc.root, doc.problems)
            continue
        known = base.compiled.rule.group_by
        for name in dict.fromkeys(name for name in named if name not in known):
            doc.problems.error(
                spec.mark,
                f'"{base.doc.meta.label}" is a correlation, of which only its group-by is known; '
                + (
                    f'"{name}" is not in it: {did_you_mean(name, known)}'
                    if known
                    else f"it has none, so write group-by: [{name}] there"
                ),
            )
    return len(doc.problems.errors) == before


def _check_aliases(doc: CorrelationDoc, spec: CorrelationSpec) -> None:
    named = [reference.text for reference in spec.rules]
    for alias, fields in spec.aliases.items():
        at = ("correlation", "aliases", alias)
        missing = [name for name in named if name not in fields]
        for name in [name for name in fields if name not in named]:
            meant = nearest(name, missing)
            missing = [other for other in missing if other != meant]
            way_out = "add it there" if meant is None else f'did you mean "{meant}"?'
            told = f'alias "{alias}" names "{name}", which is not in rules; {way_out}'
            doc.problems.error(_key_mark(doc.root, *at, name), told)
        if missing:
            told = f'alias "{alias}" has no field for "{missing[0]}"; add one'
            doc.problems.error(_key_mark(doc.root, *at), told)


def _key_mark(root: Table, *path: str) -> Mark:
    """Where the key at the end of the path stands; the nearest one above it, where it is not written."""
    node: Node = root
    mark = root.mark
    for key in path:
        if not isinstance(node, Table) or key not in node.entries:
            break
        entry = node.entries[key]
        mark, node = entry.key_mark, entry.node
    return mark


def _counting_rule(
    doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec, bases: Sequence[Base], override: Override
) -> Rule:
    meta = doc.meta
    products = {base.doc.product for base in _detections(bases)}
    return _rule(
        meta,
        doc.extension,
        doc.extension.alert,
        override,
        type_=spec.type,
        product=products.pop() if len(products) == 1 else "",
        severity=meta.level or _highest_level(bases),
        group_by=spec.group_by,
        timespan_ms=spec.timespan_ms,
        chained_ms=max(
            [base.compiled.rule.evidence_ms for base in bases if isinstance(base, Made)], default=0
        ),
        threshold=spec.bounds.threshold,
        allow_missing=spec.allow_missing,
        expected=spec.expected,
        resolve_after_ms=min(spec.timespan_ms, LONGEST_RESOLVE_AFTER_MS),
    )


def _detections(bases: Sequence[Base]) -> tuple[Detection, ...]:
    """The detections at the bottom."""
    return tuple(
        detection for base in bases for detection in (base.bases if isinstance(base, Made) else (base,))
    )


def _unable(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec, locator: Locator | None) -> str:
    """Why its type cannot run here; told as a warning, too."""
    reason = CORRELATIONS[spec.type].unable(spec, locator)
    if reason:
        way_out = "name a MaxMind-format file under geo: in the settings, or give the rule lat and lon"
        doc.problems.warning(spec.mark, f"the rule does not run: {reason}; {way_out}")
    return reason


def _not_running(doc: DetectionDoc | CorrelationDoc, bases: Sequence[Base]) -> str:
    """Why it cannot run, if one of its rules cannot."""
    stopped = next((base for base in bases if base.not_running), None)
    if stopped is None or stopped.doc.meta.id == doc.meta.id:
        return stopped.not_running if stopped else ""
    return f'its rule "{stopped.doc.meta.label}" does not run: {stopped.not_running}'


def _literal(title: str) -> str:
    """A template that says just this: a title is no template, whatever it holds."""
    return title.replace("{", "{{ '{' }}")


def _highest_level(bases: Sequence[Base]) -> Severity:
    levels = [
        base.compiled.rule.severity if isinstance(base, Made) else base.doc.meta.level for base in bases
    ]
    return max([level for level in levels if level], key=severity_rank, default="medium")


def _state(rule: Rule, spec: CorrelationSpec, bases: Sequence[Base]) -> str:
    """The name of the rule's windows: another one only for another selection, group or timespan."""
    selections = [_selection(base) for base in bases]
    groups = [fields_for(spec, position, spec.group_by) for position in range(len(bases))]
    values = [fields_for(spec, position, spec.fields) for position in range(len(bases))]
    about = (rule.id, selections, groups, values, spec.timespan_ms, spec.type, spec.allow_missing)
    own = CORRELATIONS[spec.type].identity(spec)
    if spec.prefixes:
        own = (own, sorted(spec.prefixes.items()))
    # Windows that are judged when they close are kept in another way than those that slide.
    more = (*(() if own is None else (own,)), *(() if spec.bounds.monotone else ("closes",)))
    told = repr((*about, *more))
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _selection(base: Base) -> tuple[object, ...]:
    """What is counted, told exactly; of a correlation its bounds, too: they decide what it tells."""
    if isinstance(base, Made):
        correlation = base.compiled.correlation
        state, spec = correlation.spec.state if correlation else "", base.spec
        return (state, spec and (spec.bounds if spec.own is None else (spec.bounds, spec.own)))
    return (base.doc.product, text_of(base.tree), *map(text_of, base.steps))


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
    chained_ms: int = 0,
    threshold: float | None = None,
    # A detection's `key` only says what an alert is about: no alert is lost for want of it.
    allow_missing: bool = True,
    expected: tuple[str, ...] = (),
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
        chained_ms=chained_ms,
        threshold=threshold,
        allow_missing=allow_missing,
        expected=expected,
        headline=alert.title or _literal(meta.title),
        runbook=alert.runbook,
        context=alert.context,
        labels=labels,
        params={name: param.shown for name, param in extension.params.items()},
        severity_bounds=alert.severity,
        resolve_after_ms=resolve_after_ms if alert.resolve_after_ms is None else alert.resolve_after_ms,
        for_ms=alert.for_ms,
    )
