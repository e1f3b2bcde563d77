"""Which events a rule sees, by its `logsource` and taxonomy, and why it sees none."""

from __future__ import annotations

from tocsin.catalog.provider import ECS, PROVIDERS
from tocsin.rules.document import Node, Scalar, Table
from tocsin.rules.problems import Mark, nearest
from tocsin.rules.spec import DetectionDoc

SIGMA = "sigma"  # the taxonomy of a rule that names none
_WITHOUT = "write logsource.product, or, for events of any product, taxonomy: ecs and the names of its fields"


def check_route(doc: DetectionDoc) -> str:
    """Warn of a logsource that nothing writes to; why the rule cannot run, empty where it can.

    A product that is nearly ours is told elsewhere, as a typo.
    """
    _check_taxonomy(doc)
    product, service, category = (_text(doc, key) for key in ("product", "service", "category"))
    if product:
        _check_product(doc, service)
        return ""
    if service:
        return _unseen(doc, "service", service, "a service is part of a product; write logsource.product")
    if category and not doc.vocabulary.ecs:
        return _unseen(doc, "category", category, f"a category names no product; {_WITHOUT}")
    return ""


def _check_product(doc: DetectionDoc, service: str) -> None:
    known = doc.product in PROVIDERS
    if not known and nearest(doc.product, PROVIDERS) is None:
        told = f'no source reads the product "{doc.product}", so the rule sees no event'
        doc.problems.warning(_place(doc, "product"), f"{told}; there are {', '.join(sorted(PROVIDERS))}")
    if known and service and service != doc.product:
        told = f'{doc.product} writes one log, so service "{service}" says nothing'
        doc.problems.warning(_place(doc, "service"), f"{told}; remove it, and select by event code instead")


def _unseen(doc: DetectionDoc, key: str, value: str, way_out: str) -> str:
    doc.problems.warning(_place(doc, key), f"the rule sees no event: {way_out}")
    return f'no product is named, only the {key} "{value}"'


def _check_taxonomy(doc: DetectionDoc) -> None:
    if doc.taxonomy not in ("", SIGMA, ECS):
        near = nearest(doc.taxonomy, (SIGMA, ECS))
        hint = f'did you mean "{near}"?' if near else "known are ecs and sigma"
        doc.problems.warning(
            doc.root.entries["taxonomy"].node.mark,
            f'unknown taxonomy "{doc.taxonomy}", so its fields are read as the product\'s own; {hint}',
        )


def _node(doc: DetectionDoc, key: str) -> Node | None:
    logsource = doc.root.entries.get("logsource")
    if logsource is None or not isinstance(logsource.node, Table):
        return None
    entry = logsource.node.entries.get(key)
    return entry.node if entry else None


def _text(doc: DetectionDoc, key: str) -> str:
    node = _node(doc, key)
    return node.text.casefold() if isinstance(node, Scalar) and not node.is_null else ""


def _place(doc: DetectionDoc, key: str) -> Mark:
    node = _node(doc, key)
    return node.mark if node else doc.meta.mark
