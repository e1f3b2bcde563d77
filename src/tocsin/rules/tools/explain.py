"""A rule taken apart: every part that is asked of an event, and what the event says to it.

Each part is compiled by the same functions as the rule itself, so that an explanation cannot
say anything else than the rule does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tocsin.model.alert import Reader
from tocsin.model.event import Event
from tocsin.rules.detection.category import CATEGORY
from tocsin.rules.detection.detections import Clause, Detection, condition_tree
from tocsin.rules.detection.ecs import seen_in_view
from tocsin.rules.detection.fields import Vocabulary, all_members, field_of, presence
from tocsin.rules.detection.modifiers import Chain, parse_key
from tocsin.rules.detection.paths import members_of
from tocsin.rules.detection.placeholders import expanded
from tocsin.rules.detection.scope import Scope
from tocsin.rules.detection.selection import selection_tree
from tocsin.rules.detection.tree import Predicate, Tree, codes_of, predicate
from tocsin.rules.document import Entry, Items, Node, Scalar, Table
from tocsin.rules.made import Made
from tocsin.rules.problems import Problems
from tocsin.rules.spec import FilterDoc

MOST_VALUES = 20  # of one item; a list file may hold thousands


@dataclass(frozen=True, slots=True)
class Part:
    """One question to an event: `depth` 0 is a condition, 1 a selection, 2 and more its items.

    `sees` reads what the event holds in the field asked about; None where it is about no one field.
    `there` says whether the field is there at all, be it null.
    """

    depth: int
    text: str
    holds: Predicate
    sees: Callable[[Event], list[Any]] | None = None
    there: Predicate = lambda _event: False


@dataclass(frozen=True, slots=True)
class Needed:
    """A field that an event which matched must hold to be counted, and why."""

    why: str
    field: str
    read: Reader


@dataclass(frozen=True, slots=True)
class Question:
    """A detection, and the rule that counts what it matches: the one explained, or one that it counts."""

    owner: Made
    base: Detection


def questions_of(made: Made) -> list[Question]:
    """Every detection that the rule looks for, itself or through the correlations it counts."""
    within = [question for child in made.children for question in questions_of(child)]
    names = {matcher.name for matcher in made.compiled.matchers if not matcher.of}
    own = [Question(made, base) for base in made.bases if base.doc.meta.label in names]
    found = {(question.owner.compiled.rule.name, id(question.base)): question for question in (*own, *within)}
    return list(found.values())


def parts_of(question: Question) -> Iterator[Part]:
    """The parts of a detection, top-down: condition and selections, categories, filters, then steps."""
    base = question.base
    own, *filters = base.clauses
    yield from _clause(own)
    if base.doc.extension.categories:
        yield _categories(base)
    for clause in filters:
        yield from _clause(clause)
    steps = question.owner.spec.steps if question.owner.spec else ()
    for number, (written, tree) in enumerate(zip(steps, base.steps, strict=False), start=1):
        what = f"part {number} of the {question.owner.compiled.rule.type}"
        yield Part(0, f"{what}: {written.text}", _whole(tree))


def matches(base: Detection, event: Event) -> bool:
    """Whether the event is one that the rule looks for."""
    return _whole(base.tree)(event)


def needed_of(question: Question) -> tuple[Needed, ...]:
    """What an event must hold beside what is asked, if it matched."""
    made, label = question.owner, question.base.doc.meta.label
    matcher = next(one for one in made.compiled.matchers if not one.of and one.name == label)
    fields = made.spec.fields if made.spec else ()
    groups = zip(made.compiled.rule.group_by, matcher.group_by, strict=True)
    values = zip(fields, matcher.value, strict=False)
    return (
        *(Needed("group", field, read) for field, read in groups),
        *(Needed("counted", field, read) for field, read in values),
    )


def _clause(clause: Clause) -> Iterator[Part]:
    doc, scope = clause.doc, replace(clause.scope, problems=Problems(clause.doc.meta.file), refused=[])
    what = f'filter "{doc.meta.label}"' if isinstance(doc, FilterDoc) else "condition"
    told = " or ".join(condition.text for condition in doc.conditions)
    yield Part(0, f"{what}: {told}", _whole(condition_tree(doc.selections, doc.conditions, scope)))
    for name, entry in doc.selections.items():
        yield Part(1, name, _whole(selection_tree(name, entry.node, scope)))
        yield from _items(entry.node, 2, scope)


def _items(node: Node, depth: int, scope: Scope) -> Iterator[Part]:
    """The items of a selection: a map's entries, or a list's members."""
    match node:
        case Table(entries):
            for key, entry in entries.items():
                yield _item(key, entry, node, depth, scope)
        case Items(items):
            for number, item in enumerate(items, start=1):
                if isinstance(item, Table):
                    yield Part(depth, f"alternative {number}", _whole(selection_tree("", item, scope)))
                    yield from _items(item, depth + 1, scope)
                else:
                    yield from _items(item, depth, scope)
        case Scalar():
            yield Part(depth, f"anywhere: {node.text}", _whole(selection_tree("", node, scope)))


def _item(key: str, entry: Entry, within: Table, depth: int, scope: Scope) -> Part:
    alone = Table({key: entry}, within.mark, within.flow)
    holds = _whole(selection_tree("", alone, scope))
    parsed = parse_key(key, entry.key_mark, scope.problems)
    field, chain = parsed or (key, Chain())
    text = f"{key or 'anywhere'}: {_values(entry.node, chain, scope)}"
    if field == CATEGORY:
        return Part(depth, text, holds, lambda event: [event.code or None])
    if not field:
        return Part(depth, text, holds)
    there = presence(field_of(field, scope.vocabulary))
    return Part(depth, text, holds, _reader(field, scope.vocabulary), there)


def _values(node: Node, chain: Chain, scope: Scope) -> str:
    written = (node,) if isinstance(node, Scalar) else node.items if isinstance(node, Items) else ()
    values = tuple(value for value in written if isinstance(value, Scalar))
    found = expanded(values, chain, scope) or values
    told = [value.text if not value.is_null else "null" for value in found[:MOST_VALUES]]
    more = f" … ({len(found) - MOST_VALUES} more)" if len(found) > MOST_VALUES else ""
    return (" and " if chain.all else " or ").join(text or "''" for text in told) + more


def _reader(written: str, vocabulary: Vocabulary) -> Callable[[Event], list[Any]]:
    """Reads the field from the whole record: an event holds as attributes only what rules read so."""
    field = field_of(written, vocabulary)
    if field.view is not None:
        return lambda event: members_of(seen_in_view(event, field.path, field.locator))
    return all_members(field._replace(flat=False))


def _categories(base: Detection) -> Part:
    named = base.doc.extension.categories
    catalog = base.clauses[0].scope.catalog
    codes = frozenset().union(*(catalog.expand_category(base.doc.product, scalar.text) for scalar in named))
    folded = {code.casefold() for code in codes}
    text = f"category: {' or '.join(scalar.text for scalar in named)}"
    return Part(0, text, lambda event: event.code.casefold() in folded, lambda event: [event.code or None])


def _whole(tree: Tree | None) -> Predicate:
    """The tree's answer for any event; a part that cannot be compiled holds for none."""
    if tree is None:
        return lambda _event: False
    codes, rest = codes_of(tree), predicate(tree)
    return lambda event: (codes is None or event.code in codes) and (rest is None or rest(event))
