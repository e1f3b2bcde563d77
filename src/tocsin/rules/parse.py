"""A file's text to its documents: Sigma detections, correlations and filters, checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tocsin.catalog.provider import ECS
from tocsin.rules.correlation_spec import read_correlation, rules_said
from tocsin.rules.detection.condition import words_of
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.document import Items, Node, Scalar, Table, read_documents
from tocsin.rules.extension import read_extension
from tocsin.rules.lints.keys import lint_keys
from tocsin.rules.params import Chosen, read_params, with_params_set
from tocsin.rules.problems import Mark, Problems
from tocsin.rules.refused import refused
from tocsin.rules.section import Section
from tocsin.rules.spec import (
    CorrelationDoc,
    DetectionDoc,
    Doc,
    FilterDoc,
    Meta,
    document_kind,
    is_list_of_any,
    product_of,
    read_meta,
    read_selections,
    taxonomy_of,
)
from tocsin.rules.yaml_mistakes import spaceless

# What a site chose for the params of a rule; None where it chose nothing.
Choose = Callable[[Meta], Chosen | None]
_START = Mark(1, 1)
_ACTIONS = ("global", "repeat", "reset")  # of Sigma 1, between the documents of a file


def parse_file(data: bytes, problems: Problems, choose: Choose) -> list[Doc]:
    """The documents of a rule file; those with mistakes are left out, the mistakes noted."""
    nodes = read_documents(data, problems)
    if not nodes and not problems.errors:
        problems.warning(_START, "the file holds no rule")
    if _is_collection(nodes, problems):
        return []
    found = [_document(node, index, problems, choose) for index, node in enumerate(nodes, start=1)]
    return [doc for doc in found if doc is not None]


def _is_collection(nodes: Sequence[Node], problems: Problems) -> bool:
    """Whether documents complete each other by `action`, which is told; none of them says all of itself."""
    for node in nodes if len(nodes) > 1 else ():
        action = node.entries.get("action") if isinstance(node, Table) else None
        if action is not None and isinstance(action.node, Scalar) and action.node.text in _ACTIONS:
            told = f"action: {action.node.text} left Sigma, so each document stands for itself"
            problems.error(action.key_mark, f"{told}; write all of the rule in each, and remove action")
            return True
    return False


def _document(node: Node, index: int, problems: Problems, choose: Choose) -> Doc | None:
    if not isinstance(node, Table):
        if not problems.errors:  # else it may be what is left of one
            meant = spaceless(node.text) if isinstance(node, Scalar) else ""
            hint = f'write a space after the colon: "{meant}"' if meant else "begin with title:"
            problems.error(node.mark, f"a rule is a map; {hint}")
        return None
    root = Section(node, "the rule", problems)
    kind = document_kind(root)
    if kind is None:
        lint_keys(node, problems)  # a typo in the key that says what it is
    meta = read_meta(root, index)
    match kind:
        case "detection":
            return _detection(root, meta, choose(meta))
        case "correlation":
            return _correlation(root, meta, choose(meta))
        case "filter":
            return _filter(root, meta)
        case _:
            return None


def _detection(root: Section, meta: Meta, chosen: Chosen | None) -> DetectionDoc:
    """The detection; with nothing in it after a mistake, so that whoever names it finds it."""
    problems = root.problems
    tocsin = root.section("tocsin")
    params = read_params(tocsin.section("params") if tocsin else None, root.table, chosen)
    for param in params.values():
        if param.sets:
            problems.error(
                param.mark, f'param "{param.name}": set is for correlations; write ${param.name} where used'
            )
    product, taxonomy = product_of(root), taxonomy_of(root)
    extension = read_extension(tocsin, params, Vocabulary(product, ecs=taxonomy == ECS))
    detection = _body(root, "detection", "a selection and a condition")
    selections, conditions = read_selections(detection) if detection else ({}, ())
    return DetectionDoc(
        meta=meta,
        root=root.table,
        product=product,
        taxonomy=taxonomy,
        selections=selections,
        conditions=conditions,
        generate=root.flag("generate"),
        extension=extension,
        problems=problems,
    )


def _correlation(root: Section, meta: Meta, chosen: Chosen | None) -> CorrelationDoc:
    problems = root.problems
    tocsin = root.section("tocsin")
    params = read_params(tocsin.section("params") if tocsin else None, root.table, chosen)
    table = with_params_set(root.table, params)
    changed = Section(refused(table, params, problems) if params else table, root.name, problems)
    section = _body(changed, "correlation", "type, rules and condition")
    spec = read_correlation(section, params) if section else None
    references = _references(section) if section else ()
    extension = read_extension(tocsin, params, None)
    if spec is not None and extension.prefixes:
        spec = replace(spec, prefixes=extension.prefixes)
    return CorrelationDoc(meta, changed.table, spec, root.flag("generate"), extension, problems, references)


def _references(section: Section) -> tuple[Scalar, ...]:
    """The rules that a correlation names, whatever else is wrong with it; their shape is judged already."""
    node = section.node("rules")
    items = node.items if isinstance(node, Items) else (node,)
    return tuple(item for item in items if isinstance(item, Scalar)) or rules_said(section)


def _filter(root: Section, meta: Meta) -> FilterDoc | None:
    section = _body(root, "filter", "rules, a selection and a condition")
    if section is None:
        return None
    rules = () if is_list_of_any(section.node("rules")) else section.scalars("rules")
    selections, conditions = read_selections(section)
    for condition in conditions:
        words = words_of(condition)
        if words[:1] != ["not"]:
            # With a not of its own, another one would turn it round.
            another = "not" in words
            fix = "write not, and then what it leaves out" if another else f'write "not ({condition.text})"'
            root.problems.error(
                condition.mark,
                f"a filter's condition is added with AND, so one that excludes begins with not; {fix}",
            )
    return FilterDoc(
        meta, root.table, product_of(root), taxonomy_of(root), rules, selections, conditions, root.problems
    )


def _body(root: Section, key: str, way_out: str) -> Section | None:
    """What the document is about; None after a mistake."""
    if not root.has(key):
        root.problems.error(root.mark_of(key), f"{key} is empty; write {way_out}")
        return None
    return root.section(key)
