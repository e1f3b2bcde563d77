"""Lints of a selection: values that can never match, and items that match more than they seem to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterator

from tocsin.rules.document import Entry, Items, Node, Scalar, Table
from tocsin.rules.fields import ELEMENTS
from tocsin.rules.modifiers import Chain, parse_key
from tocsin.rules.problems import Problems

_BRACED = re.compile(r"\{[A-Za-z_][A-Za-z0-9_ -]*\}|<[A-Z_][A-Z0-9_ -]*>")
_PERCENT = re.compile(r"%[A-Za-z0-9_.-]+%")
_DOLLAR = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


def lint_selection(node: Node, problems: Problems, params: Container[str]) -> None:
    """Warn of what stands in a selection; `params` are the names of its rule's params."""
    match node:
        case Table(entries):
            items = [*_items(entries)]
            alike: dict[str, list[Item]] = defaultdict(list)
            for item in items:
                alike[item[0]].append(item)
            for field, chain, entry in items:
                _nothing(field, entry, problems)
                for scalar in _values(entry.node):
                    _placeholder(scalar, chain, problems, params)
                _not_there(field, chain, entry, alike[field], problems)
            _elements(items, problems)
        case Items(items=members):
            for member in members:
                lint_selection(member, problems, params)
        case Scalar():
            _placeholder(node, Chain(), problems, params)


Item = tuple[str, Chain, Entry]


def _items(entries: dict[str, Entry]) -> Iterator[Item]:
    """Field, modifiers and values of every item whose key makes sense."""
    ignored = Problems("")
    for key, entry in entries.items():
        parsed = parse_key(key, entry.key_mark, ignored)
        if parsed is not None:
            yield (*parsed, entry)


def _values(node: Node) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Items(items):
            yield from (item for item in items if isinstance(item, Scalar))


def _placeholder(scalar: Scalar, chain: Chain, problems: Problems, params: Container[str]) -> None:
    """Text that somebody was meant to replace; in a regular expression it may be meant."""
    if chain.kind in ("re", "exists", "fieldref"):
        return
    text = scalar.text.strip()
    named = _DOLLAR.fullmatch(text)
    if found := _BRACED.search(text):
        told = f'"{found[0]}" is a placeholder that no event says; put your own value there'
    elif not chain.expand and (found := _PERCENT.fullmatch(text)):
        told = f'"{found[0]}" is filled in only with expand; write the field as field|expand'
    elif named is not None and named[1] in params:
        told = (
            f"\"{text}\" is filled in only below tocsin; write '%{named[1]}%', and the field as field|expand"
        )
    else:
        return
    problems.warning(scalar.mark, told)


def _nothing(field: str, entry: Entry, problems: Problems) -> None:
    """An empty item, as when each of its values was commented out: YAML reads a null."""
    node = entry.node
    if field and isinstance(node, Scalar) and node.is_null and not node.text:
        problems.warning(
            entry.key_mark,
            f'"{field}" has no value here, which matches events without it; write a value, or null to say so',
        )


def _not_there(field: str, chain: Chain, entry: Entry, alike: list[Item], problems: Problems) -> None:
    """`neq` holds where the field is missing, too, unless an item `alike`, of the same field, asks for it."""
    others = [(other, values) for _, other, values in alike if values is not entry]
    if not chain.neq or not field or any(value.is_null for value in _values(entry.node)):
        return
    if any(_asks(other, values.node) for other, values in others):
        return
    way_out = f'add null to its values, or "{field}|neq: null" beside it, if the field must be there'
    if any(other.kind == "exists" for other, _ in others):
        told = f'"{field}|exists: true" is true of a null, too, and so is this neq'
    else:
        told = f'neq is also true of an event without "{field}"'
    problems.warning(entry.key_mark, f"{told}; {way_out}")


def _asks(chain: Chain, node: Node) -> bool:
    """Whether an item holds only where its field has a value."""
    null = any(value.is_null for value in _values(node))
    return chain.kind != "exists" and null == chain.neq


def _elements(items: list[Item], problems: Problems) -> None:
    """Two items of one array: each may be true of another member."""
    first: dict[str, str] = {}
    for field, _, entry in items:
        array, crossed, within = field.partition(ELEMENTS)
        if crossed and within and first.setdefault(array, field) != field:
            problems.warning(
                entry.key_mark,
                f'"{first[array]}" and "{field}" may be true of different members of the array; '
                "ask about one of them, or write a selection each to say so",
            )
