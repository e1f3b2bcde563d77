"""Lints: what is valid, and surely not meant. All are warnings, each with its way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tocsin.catalog.provider import PROVIDERS
from tocsin.model.rule import SeverityBound, severity_rank
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.counting import HIGHEST_COUNT, Bounds
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.fields import Vocabulary, field_of
from tocsin.rules.document import Node, Scalar, Table, scalars
from tocsin.rules.lints.headline import headline_told
from tocsin.rules.lints.keys import (
    lint_events,
    lint_fields,
    lint_keys,
    lint_logsource,
    lint_names,
    named_fields,
)
from tocsin.rules.lints.labels import lint_labels
from tocsin.rules.lints.values import lint_selection
from tocsin.rules.params import REFERENCE
from tocsin.rules.problems import MOST_HINTS, Mark, nearest
from tocsin.rules.spec import CorrelationDoc, DetectionDoc, Doc, FilterDoc

_WORD = re.compile(r"\w+")
_TRIVIAL = {"gte": lambda n: n <= 1, "gt": lambda n: n < 1, "neq": lambda n: n < 1}
_TRIVIAL |= {"lte": lambda n: n >= HIGHEST_COUNT, "lt": lambda n: n > HIGHEST_COUNT, "eq": lambda _n: False}


def lint(docs: Sequence[Doc]) -> None:
    """Warn of values that can never match, of thresholds that always or never do, and of what is unused."""
    for doc in docs:
        lint_keys(doc.root, doc.problems)
        named = named_fields(doc.root)
        lint_names(named, doc.problems)
        match doc:
            case DetectionDoc():
                _values(doc, named)
                _product(doc)
                if doc.taxonomy != "ecs":
                    lint_logsource(doc.root, doc.problems)
                    lint_events(doc.product, doc.root, doc.problems)
                _counting(doc, doc.extension.correlate)
                _params(doc)
                _labels(doc)
            case CorrelationDoc():
                _counted_rules(doc)
                _counting(doc, doc.correlation)
                _params(doc)
                _labels(doc)
            case FilterDoc():
                _values(doc, named)
                _product(doc)


def _values(doc: DetectionDoc | FilterDoc, named: Sequence[Scalar]) -> None:
    params = doc.extension.params if isinstance(doc, DetectionDoc) else ()
    selections = [entry.node for entry in doc.selections.values()]
    for node in selections:
        lint_selection(node, doc.problems, params, nulls=doc.taxonomy != "ecs")
    if doc.taxonomy != "ecs":
        lint_fields(doc.product, named, selections, doc.problems)


def _product(doc: DetectionDoc | FilterDoc) -> None:
    """A product that no source reads is usual in files from elsewhere; nearly ours is a typo."""
    meant = nearest(doc.product, PROVIDERS) if doc.product not in PROVIDERS else None
    if meant is not None:
        doc.problems.warning(
            _mark_at(doc.root, "logsource", "product"),
            f'no provider is called "{doc.product}", so no event can match; did you mean "{meant}"?',
        )


def _labels(doc: DetectionDoc | CorrelationDoc) -> None:
    extension = doc.root.entries.get("tocsin")
    alert = extension.node.entries.get("alert") if extension and isinstance(extension.node, Table) else None
    if alert is not None and isinstance(alert.node, Table):
        lint_labels(alert.node, doc.problems)


def _counted_rules(doc: CorrelationDoc) -> None:
    if doc.correlation is not None and doc.correlation.type == "temporal_ordered":
        return  # it may come again
    seen: set[str] = set()
    for reference in doc.references:
        if reference.text in seen:
            doc.problems.warning(reference.mark, f'"{reference.text}" is named twice; name it once')
        seen.add(reference.text)


def _counting(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec | None) -> None:
    if spec is not None and _counts(spec):
        _threshold(doc, spec)
        _counted_field(doc, spec)
    if spec is not None or (isinstance(doc, DetectionDoc) and doc.extension.correlate is None):
        _severities(doc, spec)
        _never_long(doc)
        _headline(doc, spec)


def _counts(spec: CorrelationSpec) -> bool:
    """Whether its score is a count of events or values; another score's bounds are its type's to judge."""
    return CORRELATIONS[spec.type].seen is None


def _headline(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec | None) -> None:
    group = spec.group_by if spec else doc.extension.alert.key
    mark = _mark_at(doc.root, "tocsin", "alert", "title")
    alert = doc.extension.alert
    for told in headline_told(alert.title, group, alert.context, doc.extension.params):
        doc.problems.warning(mark, told)


def _threshold(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec) -> None:
    if all(_TRIVIAL[name](number) for name, number in spec.bounds.pairs):
        doc.problems.warning(
            spec.mark,
            "the condition is true at the first event already; raise its threshold, or drop the correlation",
        )


def _counted_field(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec) -> None:
    if not spec.fields:
        return
    words = doc.vocabulary if isinstance(doc, DetectionDoc) else Vocabulary()
    groups = {field_of(name, words).key for name in spec.group_by}
    if {field_of(name, words).key for name in spec.fields} <= groups:
        counted = " and ".join(spec.fields)
        doc.problems.warning(
            spec.mark, f"each group has one value of {counted}, so the count is always 1; count another field"
        )


def _never_long(doc: DetectionDoc | CorrelationDoc) -> None:
    alert = doc.extension.alert
    if alert.for_ms and alert.resolve_after_ms == 0:
        told = "with resolve_after: 0s every alert is one instant, so none lasts long enough to fire"
        mark = _mark_at(doc.root, "tocsin", "alert", "for")
        doc.problems.warning(mark, f"{told}; remove for, or raise resolve_after")


def _severities(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec | None) -> None:
    level = doc.meta.level
    mark = _mark_at(doc.root, "tocsin", "alert", "severity")
    for bound in doc.extension.alert.severity:
        told = _pointless(bound, spec.bounds if spec else None) if spec is None or _counts(spec) else None
        if told is None and level is not None and severity_rank(bound.severity) <= severity_rank(level):
            told = f"severity never falls, and level is {level} already: {bound.severity} changes nothing"
        if told is not None:
            doc.problems.warning(mark, f"{told}; change the bound, or remove it")


def _pointless(bound: SeverityBound, bounds: Bounds | None) -> str | None:
    """What is wrong with the number of a severity bound; `bounds` is None where nothing is counted."""
    if bounds is None:
        return "without a correlation every score is 1" if bound.gte > 1 else None
    if bounds.monotone and bound.gte <= bounds.floor:
        return f"every alert scores {bounds.floor} at least, so it is always {bound.severity}"
    if not any(bounds.holds(score) for score in _scores_from(bound, bounds)):
        return f"no alert scores {bound.gte:g}, so it is never {bound.severity}"
    return None


def _scores_from(bound: SeverityBound, bounds: Bounds) -> Iterator[float]:
    """The scores from the bound on at which the answer may change."""
    least = max(1.0, bound.gte)
    yield least
    yield from (number + step for _, number in bounds.pairs for step in (-1, 0, 1) if number + step >= least)


def _params(doc: DetectionDoc | CorrelationDoc) -> None:
    """A param that is named nowhere; within a text its name as a word is enough. Two that set the same."""
    params = doc.extension.params
    setting: dict[tuple[str, ...], str] = {}
    for param in params.values():
        if param.sets and (earlier := setting.setdefault(param.sets, param.name)) != param.name:
            told = f'"{earlier}" sets {".".join(param.sets)}, too, and the later one counts; remove one'
            doc.problems.warning(param.mark, told)
    texts = {scalar.text for scalar in _using(doc.root)} if params else set()
    unused = [param for param in params.values() if not param.sets and f"${param.name}" not in texts]
    if not unused:
        return
    named = {found[1] for text in texts if (found := REFERENCE.fullmatch(text))}
    unknown = sorted(named - params.keys())[:MOST_HINTS]
    misspelt = {nearest(name, params) for name in unknown}  # told already
    whole = "\n".join(texts)
    words = set(_WORD.findall(whole))
    for param in unused:
        if param.name in misspelt:
            continue
        if param.name not in (words if _WORD.fullmatch(param.name) else whole):
            told = f'nothing uses the param "{param.name}"; write ${param.name} where it counts, or remove it'
            doc.problems.warning(param.mark, told)


def _using(root: Table) -> Iterator[Scalar]:
    """The texts in which a param may be named, and those in which one was refused."""
    for key, entry in root.entries.items():
        if key == "detection":
            yield from scalars(entry.node)
        elif key == "correlation":
            for scalar in scalars(entry.node):
                if scalar.is_open:
                    yield Scalar(scalar.param, scalar.mark)
        elif key == "tocsin" and isinstance(entry.node, Table):
            for below, within in entry.node.entries.items():
                if below in ("correlate", "alert", "prefixes"):
                    yield from scalars(within.node)


def _mark_at(root: Table, *path: str) -> Mark:
    """Where the value at the path begins; the nearest map above it, where there is none."""
    node: Node = root
    for key in path:
        if not isinstance(node, Table) or key not in node.entries:
            break
        node = node.entries[key].node
    return node.mark
