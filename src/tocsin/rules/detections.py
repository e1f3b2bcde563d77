"""Detections compiled once each, whoever uses them: their tree, filters in, and what RE2 refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from tocsin.model.alert import Reader
from tocsin.model.compiled import Matcher
from tocsin.rules.category import category_test
from tocsin.rules.condition import parse_condition
from tocsin.rules.document import Entry, Scalar
from tocsin.rules.fields import field_of, reader
from tocsin.rules.scope import Catalog, Scope
from tocsin.rules.selection import selection_tree
from tocsin.rules.spec import DetectionDoc, FilterDoc
from tocsin.rules.tree import Tree, all_of, any_of, codes_of, predicate, tests_of


class Clause(NamedTuple):
    """A document's selections and condition, with what the compiler knew when it read them."""

    doc: DetectionDoc | FilterDoc
    scope: Scope


@dataclass(frozen=True, slots=True)
class Detection:
    """A compiled detection. `not_running` says why it cannot run; empty when it does.

    `clauses` are what its tree was made of: its own document first, then its filters'.
    """

    doc: DetectionDoc
    tree: Tree
    clauses: tuple[Clause, ...]
    not_running: str = ""

    @property
    def fields(self) -> frozenset[str]:
        """The top-level fields that its tests read."""
        return frozenset(field for test in tests_of(self.tree) for field in test.fields)

    def matcher(self, group_by: Sequence[str] = (), value: Sequence[str] = ()) -> Matcher:
        """What the engine runs, with the fields to group by and to count."""
        product = self.doc.product
        return Matcher(
            name=self.doc.meta.label,
            product=product,
            codes=codes_of(self.tree),
            matches=predicate(self.tree),
            group_by=readers(group_by, product),
            value=readers(value, product),
        )


def readers(fields: Sequence[str], product: str) -> tuple[Reader, ...]:
    """Readers of fields as written."""
    return tuple(reader(field_of(field, product)) for field in fields)


def flat_fields(fields: Sequence[str], product: str) -> frozenset[str]:
    """Those of the fields that are read as attributes."""
    found = [field_of(field, product) for field in fields]
    return frozenset(field.path for field in found if field.flat)


def compile_detection(
    doc: DetectionDoc,
    filters: Sequence[FilterDoc],
    catalog: Catalog,
    lists: Mapping[str, tuple[str, ...]],
    trusted: Sequence[str],
) -> Detection | None:
    """The detection, its filters ANDed; None after a mistake."""
    params = {name: param.texts for name, param in doc.extension.params.items()}
    scope = Scope(
        product=doc.product,
        problems=doc.problems,
        catalog=catalog,
        placeholders={**lists, **params},
        trusted=any(fnmatchcase(doc.meta.label, glob) for glob in trusted),
    )
    tree = condition_tree(doc.selections, doc.conditions, scope)
    categories = doc.extension.categories
    category = [category_test(categories, scope)] if categories else []
    filtering = [Clause(filter_, _filter_scope(filter_, scope, lists)) for filter_ in filters]
    parts = [tree, *category, *(_filter_tree(clause, scope) for clause in filtering)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    reason = scope.refused[0] if scope.refused else ""
    if doc.taxonomy.casefold() == "ecs":
        reason = "taxonomy ecs"
        doc.problems.warning(doc.meta.mark, "this version does not read taxonomy ecs; the rule does not run")
    whole = all_of(known)
    if codes_of(whole) == frozenset():
        doc.problems.warning(doc.meta.mark, "no event can match: its code would have to be two at once")
    return Detection(doc, whole, (Clause(doc, scope), *filtering), reason)


def condition_tree(
    selections: Mapping[str, Entry], conditions: Sequence[Scalar], scope: Scope
) -> Tree | None:
    """The tree of all conditions, several joined by OR; unused selections are warned of."""
    trees = {name: selection_tree(name, entry.node, scope) for name, entry in selections.items()}
    sound = {name: tree for name, tree in trees.items() if tree is not None}
    parsed = [parse_condition(condition, sound, scope.problems, trees) for condition in conditions]
    used = {name for _, names in parsed for name in names}
    alternatives = [tree for tree, _ in parsed if tree is not None]
    complete = len(alternatives) == len(parsed) and len(sound) == len(trees)
    if complete:
        for name, entry in selections.items():
            if name not in used and not name.startswith("_"):
                scope.problems.warning(entry.key_mark, f'no condition uses the selection "{name}"; remove it')
    return any_of(alternatives) if complete and alternatives else None


def check_filter(filter_: FilterDoc, catalog: Catalog, lists: Mapping[str, tuple[str, ...]]) -> None:
    """Note the mistakes of a filter that no rule uses."""
    scope = Scope(filter_.product, filter_.problems, catalog, lists, trusted=False)
    condition_tree(filter_.selections, filter_.conditions, scope)


def _filter_scope(filter_: FilterDoc, scope: Scope, lists: Mapping[str, tuple[str, ...]]) -> Scope:
    return Scope(filter_.product or scope.product, filter_.problems, scope.catalog, lists, trusted=False)


def _filter_tree(clause: Clause, scope: Scope) -> Tree | None:
    tree = condition_tree(clause.doc.selections, clause.doc.conditions, clause.scope)
    scope.refused += clause.scope.refused
    return tree
