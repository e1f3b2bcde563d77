"""A detection's selections as trees: map = AND, list = OR, bare texts = keywords."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.rules.detection.category import CATEGORY, category_item, warn_of_ours
from tocsin.rules.detection.fields import field_of
from tocsin.rules.detection.items import Question, keyword_tests, tests_for
from tocsin.rules.detection.modifiers import Chain, parse_key
from tocsin.rules.detection.scope import Scope
from tocsin.rules.detection.tree import Tree, all_of, any_of, negated
from tocsin.rules.detection.view import warn_of_name
from tocsin.rules.document import Entry, Items, Node, Scalar, Table

LONGEST_VALUE = 10_000  # characters


def selection_tree(name: str, node: Node, scope: Scope) -> Tree | None:
    """The tree of one selection; None after a mistake, which is noted."""
    match node:
        case Table():
            return _of_map(name, node, scope)
        case Items(items):
            if not items:
                scope.problems.error(node.mark, f'selection "{name}" is empty; name a field and a value')
                return None
            return _joined_any(_of_member(name, item, scope) for item in items)
        case Scalar() if node.is_null:
            scope.problems.error(node.mark, f'selection "{name}" is empty; name a field and a value')
            return None
        case Scalar():
            return _keywords((node,), Chain(), scope)


def _of_member(name: str, node: Node, scope: Scope) -> Tree | None:
    match node:
        case Table():
            return _of_map(name, node, scope)
        case Scalar():
            return _keywords((node,), Chain(), scope)
        case Items():
            scope.problems.error(node.mark, f'a list within the list of selection "{name}"; write one list')
            return None


def _of_map(name: str, table: Table, scope: Scope) -> Tree | None:
    if not table.entries:
        scope.problems.error(table.mark, f'selection "{name}" is empty; name a field and a value')
        return None
    trees = [_item(key, entry, scope) for key, entry in table.entries.items()]
    known = [tree for tree in trees if tree is not None]
    return all_of(known) if len(known) == len(trees) else None


def _item(key: str, entry: Entry, scope: Scope) -> Tree | None:
    """The tree of one item: that of an earlier one that says the same, if there was nothing to tell of it."""
    written = _written(key, entry.node)
    known = scope.items.get(written)
    if known is not None:
        return known
    before = scope.told
    tree = _read_item(key, entry, scope)
    if tree is None:
        scope.problems.unread(entry.key_mark, f'"{key}"')
    if tree is not None and scope.told == before and "|expand" not in key:
        scope.items[written] = tree
    return tree


def _written(key: str, node: Node) -> tuple[object, ...]:
    """All that an item says, but not where; what is no value, and so a mistake, says None."""
    if isinstance(node, Scalar):
        return key, node.text, node.plain
    if isinstance(node, Items):
        return key, *[(item.text, item.plain) if isinstance(item, Scalar) else None for item in node.items]
    return key, None


def _read_item(key: str, entry: Entry, scope: Scope) -> Tree | None:
    parsed = parse_key(key, entry.key_mark, scope.problems)
    values = _values(key, entry.node, scope)
    if parsed is None or values is None:
        return None
    written, chain = parsed
    if not written:
        return _keywords(values, chain, scope)
    if not _are_short(values, scope):
        return None
    if written == CATEGORY:
        return category_item(chain, values, entry.key_mark, scope)
    warn_of_ours(written, entry.key_mark, scope)
    warn_of_name(written, scope.vocabulary, entry.key_mark, scope.problems)
    question = Question(field_of(written, scope.vocabulary), written, chain, entry.key_mark)
    return _combined(tests_for(question, values, scope), chain)


def _are_short(values: tuple[Scalar, ...], scope: Scope) -> bool:
    """Patterns are compiled, which takes long for long ones, and a file may be hostile."""
    long = [value for value in values if len(value.text) > LONGEST_VALUE]
    for value in long:
        message = f"a value has {len(value.text)} characters; it may have {LONGEST_VALUE}"
        scope.problems.error(value.mark, message)
    return not long


def _keywords(values: tuple[Scalar, ...], chain: Chain, scope: Scope) -> Tree | None:
    if not _are_short(values, scope):
        return None
    return _combined(keyword_tests(values, chain, scope), chain)


def _combined(tests: list[Tree] | None, chain: Chain) -> Tree | None:
    if not tests:
        return None
    tree = all_of(tests) if chain.all else any_of(tests)
    return negated(tree) if chain.neq else tree


def _joined_any(trees: Iterable[Tree | None]) -> Tree | None:
    each = list(trees)
    known = [tree for tree in each if tree is not None]
    return any_of(known) if len(known) == len(each) else None


def _values(key: str, node: Node, scope: Scope) -> tuple[Scalar, ...] | None:
    """The values of an item; a map is the usual trap of an unquoted `{placeholder}`."""
    match node:
        case Scalar():
            return (node,)
        case Items(items):
            if not items:
                scope.problems.error(node.mark, f'"{key}" has no value; write one, or null for "absent"')
                return None
            found = tuple([item for item in items if isinstance(item, Scalar)])
            for item in items if len(found) < len(items) else ():
                _refuse(key, item, scope)
            return found if len(found) == len(items) else None
        case Table():
            _refuse_map(key, node, scope)
            return None


def _refuse(key: str, node: Node, scope: Scope) -> None:
    """Note a list or map among the values of an item."""
    match node:
        case Items(mark=mark):
            scope.problems.error(mark, f'a list within the values of "{key}"; write one list')
        case Table():
            _refuse_map(key, node, scope)


def _refuse_map(key: str, table: Table, scope: Scope) -> None:
    if table.flow:
        shown = "{" + ", ".join(table.entries) + "}"
        message = (
            f"the value of \"{key}\" is a map: YAML reads an unquoted {{…}} so; write '{shown}' in quotes"
        )
    else:
        message = f'the value of "{key}" is a map; write a value, or the dotted path as the field'
    scope.problems.error(table.mark, message)
