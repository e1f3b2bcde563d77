"""The pure Sigma form of rules: what Sigma can say, and a list of what it cannot.

A rule with `tocsin.correlate` becomes two documents: a detection under the rule's name and
`.events`, which is what its own alerts would be called here, and a correlation over it, which
keeps name and id. Whoever named the detection (a filter, another correlation) names it so.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tocsin.catalog.provider import PROVIDERS
from tocsin.errors import RuleError
from tocsin.rules.compile import GENERATED
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.category import CATEGORY
from tocsin.rules.detection.detections import Clause
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.detection.modifiers import parse_key
from tocsin.rules.detection.placeholders import expanded
from tocsin.rules.detection.scope import Scope
from tocsin.rules.document import Items, Node, Scalar, Table, plain
from tocsin.rules.load import Loaded
from tocsin.rules.names import Names
from tocsin.rules.problems import Mark, Problems
from tocsin.rules.spec import CorrelationDoc, DetectionDoc, Doc, FilterDoc
from tocsin.rules.tools.facts import correlation_of
from tocsin.rules.tools.losses import SIGMA_KEYS, Loss, is_sigma, losses_of

OF_CATEGORY = "_category"  # the selection that takes the place of tocsin.category
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_OF_DETECTIONS = ("logsource", "detection", "taxonomy", "fields", "generate")

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Exported:
    """The documents of one file, in Sigma alone, and what they lack."""

    file: str
    documents: tuple[Document, ...]
    losses: tuple[Loss, ...]


def export_sigma(loaded: Loaded) -> list[Exported]:
    """Every document of every file, with the effective params written in, in file order.

    Raises:
        RuleError: a rule that Sigma can only say when it is written in another way.
    """
    names = Names(loaded.docs)
    clauses = {
        id(clause.doc): clause for made in loaded.made for base in made.bases for clause in base.clauses
    }
    by_file: dict[str, list[Doc]] = {}
    for doc in loaded.docs:
        by_file.setdefault(doc.meta.file, []).append(doc)
    return [
        Exported(
            file,
            tuple(made for doc in docs for made in _documents(doc, clauses.get(id(doc)), names)),
            tuple(loss for doc in docs for loss in losses_of(doc)),
        )
        for file, docs in by_file.items()
    ]


def _documents(doc: Doc, clause: Clause | None, names: Names) -> Iterator[Document]:
    match doc:
        case DetectionDoc():
            yield from _of_detection(doc, clause)
        case CorrelationDoc():
            yield _of_correlation(doc, names)
        case FilterDoc():
            yield _of_filter(doc, clause, names)


def _of_detection(doc: DetectionDoc, clause: Clause | None) -> Iterator[Document]:
    whole = _pure(doc.root)
    detection = _filled(doc.root.entries["detection"].node, clause)
    if doc.extension.categories and clause:
        detection |= _category(doc, clause.scope)
    spec = doc.extension.correlate
    if spec is None:
        yield whole | {"detection": detection}
        return
    base = whole | {"title": f"{doc.meta.title} (events)", "name": _base_name(doc), "detection": detection}
    if doc.meta.written_id:
        base["id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, doc.meta.written_id + GENERATED))
    if not is_sigma(spec):
        yield base | {"level": "informational"}  # one of them is nothing to be alarmed about
        return
    yield base
    kept = {key: value for key, value in whole.items() if key not in _OF_DETECTIONS}
    yield kept | {"correlation": _correlation(doc, spec)}


def _correlation(doc: DetectionDoc, spec: CorrelationSpec) -> Document:
    """`tocsin.correlate` as Sigma writes it, the effective params in place of `$name`."""
    written = correlation_of(doc)
    said = {key: plain(written[key]) for key in SIGMA_KEYS if key in written}
    return {
        **said,
        "type": spec.type,
        "rules": [_base_name(doc)],
        "timespan": _timespan(spec.timespan_ms),
        **({"generate": True} if spec.generate or doc.generate else {}),
    }


def _of_correlation(doc: CorrelationDoc, names: Names) -> Document:
    whole = _pure(doc.root)
    node = doc.root.entries["correlation"].node
    known = (*SIGMA_KEYS, "generate")
    body = {key: value for key, value in _plain_table(node).items() if key in known}
    spec = doc.correlation
    if spec is not None:
        called = {one.text: _called(one, names, doc.problems) for one in spec.rules}
        body["rules"] = [*called.values()]
        body["timespan"] = _timespan(spec.timespan_ms)
        if spec.aliases:
            body["aliases"] = {
                alias: {called[rule]: field for rule, field in fields.items()}
                for alias, fields in spec.aliases.items()
            }
    return whole | {"correlation": body}


def _of_filter(doc: FilterDoc, clause: Clause | None, names: Names) -> Document:
    body = _filled(doc.root.entries["filter"].node, clause)
    if doc.rules:
        body["rules"] = [_called(one, names, doc.problems) for one in doc.rules]
    return _pure(doc.root) | {"filter": body}


def _called(reference: Scalar, names: Names, problems: Problems) -> str:
    """What a rule that others refer to is called in the export."""
    meant = names.find(reference, Problems(problems.file))
    counted = isinstance(meant, DetectionDoc) and meant.extension.correlate is not None
    return _base_name(meant) if isinstance(meant, DetectionDoc) and counted else reference.text


def _base_name(doc: DetectionDoc) -> str:
    return doc.meta.label + GENERATED


def _pure(root: Table) -> Document:
    return {key: plain(entry.node) for key, entry in root.entries.items() if key != "tocsin"}


def _plain_table(node: Node) -> Document:
    return {key: plain(entry.node) for key, entry in node.entries.items()} if isinstance(node, Table) else {}


def _filled(node: Node, clause: Clause | None) -> Document:
    """A detection or filter with its `|expand` filled in; its condition as written."""
    if clause is None or not isinstance(node, Table):
        return _plain_table(node)
    scope = replace(clause.scope, problems=Problems(clause.doc.meta.file))
    return {
        name: plain(entry.node) if name in ("condition", "rules") else _selection(entry.node, scope)
        for name, entry in node.entries.items()
    }


def _selection(node: Node, scope: Scope) -> object:
    match node:
        case Items(items):
            return [_selection(item, scope) for item in items]
        case Table(entries):
            found: Document = {}
            for key, entry in entries.items():
                written, value = _item(key, entry.key_mark, entry.node, scope)
                if written in found:
                    message = f'in plain Sigma "{written}" stands twice here; write two selections instead'
                    raise RuleError(scope.problems.file, entry.key_mark.line, entry.key_mark.column, message)
                found[written] = value
            return found
        case _:
            return plain(node)


def _item(key: str, mark: Mark, node: Node, scope: Scope) -> tuple[str, object]:
    """The item with its placeholders filled and its category spelled out, or as it is."""
    parsed = parse_key(key, mark, scope.problems)
    if parsed is None:
        return key, plain(node)
    written = (node,) if isinstance(node, Scalar) else node.items if isinstance(node, Items) else ()
    values = tuple(one for one in written if isinstance(one, Scalar))
    if parsed[0] == CATEGORY:
        field = _code_field(scope.vocabulary)
        return f"{field}|neq" if parsed[1].neq else field, _codes(values, scope)
    if not parsed[1].expand:
        return key, plain(node)
    filled = expanded(values, parsed[1], scope) or []
    left = "|".join(word for place, word in enumerate(key.split("|")) if not (place and word == "expand"))
    # A keyword search has no field; of its modifiers `contains` is the one that changes nothing.
    return left or "|contains", [scalar.text for scalar in filled]


def _category(doc: DetectionDoc, scope: Scope) -> Document:
    """The codes of the rule's categories as a selection, ANDed to each of its conditions."""
    conditions = [f"({condition.text}) and {OF_CATEGORY}" for condition in doc.conditions]
    return {
        OF_CATEGORY: {_code_field(doc.vocabulary): _codes(doc.extension.categories, scope)},
        "condition": conditions[0] if len(conditions) == 1 else conditions,
    }


def _code_field(vocabulary: Vocabulary) -> str:
    """What the event code is called in the names of a document."""
    if vocabulary.ecs:
        return "event.code"
    product = vocabulary.product
    return PROVIDERS[product].prefix + PROVIDERS[product].code_field


def _codes(categories: Sequence[Scalar], scope: Scope) -> list[str]:
    """The codes of the categories, as the catalogue spells them."""
    return sorted(
        {code for one in categories for code in scope.catalog.expand_category(scope.product, one.text)}
    )


def _timespan(ms: int) -> str:
    """In Sigma's units; a part of a second is one more, so that nothing is missed."""
    seconds_ms = -(-ms // 1_000) * 1_000
    unit = next(unit for unit, size in _UNITS_MS.items() if seconds_ms % size == 0)
    return f"{seconds_ms // _UNITS_MS[unit]}{unit}"
