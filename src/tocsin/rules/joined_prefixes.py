"""What is told of `tocsin.prefixes` where a correlation counts other rules.

Prefixes that change nothing; groups that one rule cuts to networks, and another does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.fields import Vocabulary, field_of
from tocsin.rules.document import Scalar, Table
from tocsin.rules.inputs import fields_for
from tocsin.rules.made import Base, Made
from tocsin.rules.problems import Mark
from tocsin.rules.spec import CorrelationDoc


def warn_of_prefixes(
    doc: CorrelationDoc, spec: CorrelationSpec, bases: Sequence[Base], words: Sequence[Vocabulary]
) -> None:
    """Note them; `words` are what the names of the detections' fields mean."""
    if doc.extension.prefixes:
        _unused(doc, spec, words)
    if spec.prefixes or any(isinstance(base, Made) for base in bases):
        for group in spec.group_by:
            _unlike(doc, spec, bases, group)


def _unused(doc: CorrelationDoc, spec: CorrelationSpec, words: Sequence[Vocabulary]) -> None:
    used = (*spec.group_by, *spec.fields)
    fields = {field_of(name, each).key for each in words for name in used if name not in spec.aliases}
    for name in doc.extension.prefixes:
        meant = {field_of(name, each).key for each in words}
        if name in used or meant & fields:
            continue
        aliases = [
            alias
            for alias in spec.aliases
            if any(field_of(one, each).key in meant for one in spec.aliases[alias].values() for each in words)
        ]
        way_out = f'write it of the alias "{aliases[0]}"' if aliases else "remove it"
        doc.problems.warning(
            _mark_of(doc.root, name),
            f'nothing groups by or counts "{name}", so its prefix changes nothing; {way_out}',
        )


def _unlike(doc: CorrelationDoc, spec: CorrelationSpec, bases: Sequence[Base], group: str) -> None:
    """Note rules whose groups never meet over IPv6, where one of them has networks and another addresses."""
    each: dict[int | None, Scalar] = {}
    for position, (base, rule) in enumerate(zip(bases, spec.rules, strict=True)):
        (name,) = fields_for(spec, position, (group,))
        each.setdefault(_bits(base, name) or spec.prefixes.get(group), rule)
    if len(each) == 1:
        return
    (bits, rule), (others, other) = sorted(each.items(), key=lambda one: -(one[0] or 0))[:2]
    shown = "addresses" if others is None else f"networks of {others} bits"
    way_out = f"write tocsin.prefixes: {{{group}: {bits}}}" if others is None else "give both the same prefix"
    told = f'"{rule.text}" tells {group} as networks of {bits} bits, and "{other.text}" as {shown}'
    doc.problems.warning(rule.mark, f"{told}, so over IPv6 they never meet; {way_out}")


def _bits(base: Base, name: str) -> int | None:
    """The prefix with which a correlation tells a field of its group; None where it tells the address."""
    if not isinstance(base, Made) or base.spec is None:
        return None
    below = (bits for child in base.children if (bits := _bits(child, name)) is not None)
    return next(below, None) or base.spec.prefixes.get(name)


def _mark_of(root: Table, name: str) -> Mark:
    """Where a prefix stands."""
    extension = root.entries["tocsin"].node
    prefixes = extension.entries["prefixes"].node if isinstance(extension, Table) else extension
    return prefixes.entries[name].key_mark if isinstance(prefixes, Table) else prefixes.mark
