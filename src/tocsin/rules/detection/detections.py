"""Detections compiled once each, whoever uses them: their tree, filters in, and what RE2 refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from tocsin.model.alert import Reader
from tocsin.model.compiled import Matcher
from tocsin.model.place import Locator
from tocsin.rules.detection.category import category_test
from tocsin.rules.detection.condition import parse_condition
from tocsin.rules.detection.fields import Vocabulary, field_of, reader
from tocsin.rules.detection.logsource import check_route
from tocsin.rules.detection.narrow import narrowed
from tocsin.rules.detection.scope import Catalog, Kept, Scope
from tocsin.rules.detection.selection import selection_tree
from tocsin.rules.detection.tree import Codes, Predicate, Tree, all_of, any_of, codes_of, predicate, tests_of
from tocsin.rules.detection.view import warn_of_names
from tocsin.rules.document import Entry, Scalar
from tocsin.rules.problems import Mark
from tocsin.rules.spec import DetectionDoc, FilterDoc


class Clause(NamedTuple):
    """A document's selections and condition, with what the compiler knew when it read them."""

    doc: DetectionDoc | FilterDoc
    scope: Scope


# What filters say, by identity, to rules of a vocabulary: one narrows many rules, and is read once.
Filtered = dict[tuple[int, Vocabulary], tuple[Clause, Tree | None]]


@dataclass(frozen=True, slots=True)
class Detection:
    """A compiled detection. `not_running` says why it cannot run; empty when it does.

    `codes` are those of the events that can match; None where any can. `clauses` are what its tree
    was made of: its own document first, then its filters'. `steps` are the trees of its
    correlation's steps, each narrowed by the whole.
    """

    doc: DetectionDoc
    tree: Tree
    codes: Codes | None
    clauses: tuple[Clause, ...]
    not_running: str = ""
    steps: tuple[Tree, ...] = ()

    @property
    def fields(self) -> frozenset[str]:
        """The top-level fields that its tests read."""
        trees = (self.tree, *self.steps)
        return frozenset().union(*[test.fields for tree in trees for test in tests_of(tree)])

    @property
    def vocabulary(self) -> Vocabulary:
        """What its field names mean."""
        return self.clauses[0].scope.vocabulary

    def readers(self, written: Sequence[str]) -> tuple[Reader, ...]:
        """Readers of fields as this rule writes them."""
        return readers(written, self.vocabulary)

    def flat(self, written: Sequence[str]) -> frozenset[str]:
        """The top-level vendor fields that these readers read."""
        return flat_fields(written, self.vocabulary)

    def matcher(
        self, group_by: Sequence[str] = (), value: Sequence[str] = (), *, step: int | None = None
    ) -> Matcher:
        """What the engine runs, with the fields to group by and to count; of one step, or of the whole."""
        if step is None:
            codes, matches = self.codes, _asked(self.tree, self.doc.vocabulary)
        else:
            tree = self.steps[step]
            codes, matches = _codes_of(tree, self.doc.vocabulary), _asked(tree, self.doc.vocabulary)
        return Matcher(
            name=self.doc.meta.label,
            product=self.doc.product,
            codes=codes,
            matches=matches,
            group_by=self.readers(group_by),
            value=self.readers(value),
        )


def _codes_of(tree: Tree, vocabulary: Vocabulary) -> Codes | None:
    return narrowed(tree, vocabulary.product).codes if vocabulary.ecs else codes_of(tree)


def _asked(tree: Tree, vocabulary: Vocabulary) -> Predicate | None:
    """What is asked of the events of the tree's codes (None: nothing more)."""
    asked = predicate(tree)
    return narrowed(tree, vocabulary.product).predicate(asked) if vocabulary.ecs else asked


def readers(fields: Sequence[str], vocabulary: Vocabulary) -> tuple[Reader, ...]:
    """Readers of fields as written."""
    return tuple(reader(field_of(field, vocabulary)) for field in fields)


def flat_fields(fields: Sequence[str], vocabulary: Vocabulary) -> frozenset[str]:
    """The top-level vendor fields that reading these takes from the event's attributes."""
    return frozenset(name for field in fields for name in field_of(field, vocabulary).attributes)


def compile_detection(
    doc: DetectionDoc,
    filters: Sequence[FilterDoc],
    catalog: Catalog,
    lists: Mapping[str, tuple[str, ...]],
    trusted: Sequence[str],
    *,
    locator: Locator | None = None,
    kept: Kept | None = None,
    filtered: Filtered | None = None,
) -> Detection | None:
    """The detection, its filters ANDed; None after a mistake.

    `kept` and `filtered` are shared by those of a load.
    """
    params = {name: param.texts for name, param in doc.extension.params.items()}
    scope = Scope(
        vocabulary=doc.vocabulary._replace(locator=locator),
        problems=doc.problems,
        catalog=catalog,
        placeholders={**lists, **params},
        trusted=any(fnmatchcase(doc.meta.label, glob) for glob in trusted),
        kept={} if kept is None else kept,
    )
    correlate = doc.extension.correlate
    tree, steps = condition_trees(doc.selections, doc.conditions, scope, correlate.steps if correlate else ())
    categories = doc.extension.categories
    category = [category_test(categories, scope)] if categories else []
    read = {} if filtered is None else filtered
    filtering = [_filtering(filter_, scope, lists, read) for filter_ in filters]
    parts = [tree, *category, *(part for _, part in filtering)]
    known = [part for part in parts if part is not None]
    sorting = tuple(all_of([step, *known]) for step in steps if step is not None)
    if len(known) < len(parts) or len(sorting) < len(steps):
        return None
    unseen = check_route(doc)
    reason = scope.refused[0] if scope.refused else unseen
    whole = all_of(known)
    codes = _codes_of(whole, doc.vocabulary)
    if codes == frozenset():
        doc.problems.warning(doc.meta.mark, "no event can match: no event code is all that is asked of it")
    _warn_of_names(doc)
    return Detection(
        doc, whole, codes, (Clause(doc, scope), *(clause for clause, _ in filtering)), reason, sorting
    )


def _warn_of_names(doc: DetectionDoc) -> None:
    """Fields to group by, to count and to show that no event's view holds."""
    correlate, alert = doc.extension.correlate, doc.extension.alert
    counted = (*correlate.group_by, *correlate.fields) if correlate else ()
    warn_of_names((*counted, *alert.key, *alert.context), doc.vocabulary, doc.root, doc.problems)


def condition_tree(
    selections: Mapping[str, Entry], conditions: Sequence[Scalar], scope: Scope
) -> Tree | None:
    """The tree of all conditions, several joined by OR; unused selections are warned of."""
    return condition_trees(selections, conditions, scope)[0]


def condition_trees(
    selections: Mapping[str, Entry],
    conditions: Sequence[Scalar],
    scope: Scope,
    steps: Sequence[Scalar] = (),
) -> tuple[Tree | None, tuple[Tree | None, ...]]:
    """As `condition_tree`, and the tree of each step; None in place of what has a mistake."""
    trees = {name: selection_tree(name, entry.node, scope) for name, entry in selections.items()}
    sound = {name: tree for name, tree in trees.items() if tree is not None}
    parsed = [parse_condition(condition, sound, scope.problems, trees) for condition in conditions]
    wrong: set[Mark] = set()
    for step in steps:
        told = step.mark in wrong  # it is made of the step before, whose mistake it would repeat
        parsed.append((None, set()) if told else parse_condition(step, sound, scope.problems, trees))
        if parsed[-1][0] is None:
            wrong.add(step.mark)
    used = {name for _, names in parsed for name in names}
    found = [tree for tree, _ in parsed]
    alternatives = [tree for tree in found[: len(conditions)] if tree is not None]
    complete = len(alternatives) == len(conditions) and len(sound) == len(trees)
    if complete and conditions:
        for name, entry in selections.items():
            if name not in used and not name.startswith("_"):
                scope.problems.warning(entry.key_mark, f'no condition uses the selection "{name}"; remove it')
    whole = any_of(alternatives) if complete and alternatives else None
    return whole, tuple(found[len(conditions) :])


def check_filter(filter_: FilterDoc, catalog: Catalog, lists: Mapping[str, tuple[str, ...]]) -> None:
    """Note the mistakes of a filter that no rule uses."""
    scope = Scope(filter_.vocabulary, filter_.problems, catalog, lists, trusted=False)
    condition_tree(filter_.selections, filter_.conditions, scope)


def _filtering(
    filter_: FilterDoc, scope: Scope, lists: Mapping[str, tuple[str, ...]], read: Filtered
) -> tuple[Clause, Tree | None]:
    """A filter as a rule of this scope reads it."""
    own = filter_.vocabulary
    vocabulary = own if own.ecs or own.product else scope.vocabulary
    vocabulary = vocabulary._replace(locator=scope.vocabulary.locator)
    key = (id(filter_), vocabulary)
    if key not in read:
        within = Scope(vocabulary, filter_.problems, scope.catalog, lists, kept=scope.kept)
        tree = condition_tree(filter_.selections, filter_.conditions, within)
        read[key] = (Clause(filter_, within), tree)
    clause, tree = read[key]
    scope.refused += clause.scope.refused
    return clause, tree
