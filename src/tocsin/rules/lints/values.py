"""Lints of a selection: values that can never match, and items that match more than they seem to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container
from typing import NamedTuple

from tocsin.rules.detection.fields import ELEMENTS
from tocsin.rules.detection.modifiers import Chain, sound_key
from tocsin.rules.document import Entry, Items, Node, Scalar, Table
from tocsin.rules.lints.texts import dotted_told, tellers
from tocsin.rules.problems import Problems
from tocsin.rules.yaml_mistakes import spaceless

_BRACED = re.compile(r"\{[A-Za-z_][A-Za-z0-9_ -]*\}|<[A-Z_][A-Z0-9_ -]*>")
_PERCENT = re.compile(r"%[A-Za-z0-9_.-]+%")
_DOLLAR = re.compile(r"\$([A-Za-z_][A-Za-z0-9_.-]*)")
_MARK = re.compile(r"[{<%$]")  # without which a text is none of these
# Booleans of YAML 1.1, which are text in YAML 1.2, and so here.
_ONCE_BOOLEAN = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_LOWER, _UPPER = ("gt", "gte"), ("lt", "lte")


class Item(NamedTuple):
    """One item of a map, `field|chain: values`; of its values those that are single."""

    field: str
    chain: Chain
    entry: Entry
    values: tuple[Scalar, ...]


def lint_selection(node: Node, problems: Problems, params: Container[str], *, nulls: bool = True) -> None:
    """Warn of what stands in a selection; `params` are the names of its rule's params.

    `nulls`: an event may hold a null, which is there; in the ECS view it is absent.
    """
    match node:
        case Table(entries):
            _map(_items(entries), problems, params, nulls=nulls)
        case Items(items=members):
            for member in members:
                lint_selection(member, problems, params, nulls=nulls)
        case Scalar():
            _keyword(node, problems, params)


def _map(items: list[Item], problems: Problems, params: Container[str], *, nulls: bool) -> None:
    alike = _by_field(items) if len(items) > 1 else {}
    for item in items:
        for scalar in item.values:
            if _MARK.search(scalar.text):
                _placeholder(scalar, item.chain, problems, params)
            if not item.field and not item.chain.expand:
                _spaceless(scalar, problems)
        if item.field:
            others = [other for other in alike[item.field] if other is not item] if alike else []
            _of_field(item, others, problems, nulls=nulls)
    _elements(items, problems)
    for some in alike.values():
        if len(some) > 1:
            _nothing_between(some, problems)


def _by_field(items: list[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.field].append(item)
    return found


def _of_field(item: Item, others: list[Item], problems: Problems, *, nulls: bool) -> None:
    chain = item.chain
    if chain.kind == "equals":
        _equal(item, problems)
    if chain.neq:
        _not_there(item, others, problems, nulls=nulls)
    elif chain.kind == "exists" and nulls:
        _null_exists(item, others, problems)
    for tell in tellers(chain.kind, chain.time_part):
        for scalar in item.values:
            told = tell(item.field, chain, scalar)
            if told:
                problems.warning(scalar.mark, told)


def _equal(item: Item, problems: Problems) -> None:
    dotted = dotted_told(item.field, item.chain)
    if dotted:
        problems.warning(item.entry.key_mark, dotted)
    if not item.chain.transforms:
        _nothing(item, problems)
    _once_boolean(item, problems)


def _items(entries: dict[str, Entry]) -> list[Item]:
    """Field, modifiers and values of every item whose key makes sense."""
    return [
        Item(*parsed, entry, _values(entry.node))
        for key, entry in entries.items()
        if (parsed := sound_key(key)) is not None
    ]


def _values(node: Node) -> tuple[Scalar, ...]:
    if isinstance(node, Items):
        return tuple([item for item in node.items if isinstance(item, Scalar)])
    return (node,) if isinstance(node, Scalar) else ()


def _keyword(node: Scalar, problems: Problems, params: Container[str]) -> None:
    if _MARK.search(node.text):
        _placeholder(node, Chain(), problems, params)
    _spaceless(node, problems)


def _spaceless(scalar: Scalar, problems: Problems) -> None:
    """`type:fp`, which is one text to look for anywhere, and surely meant a field and its value."""
    meant = spaceless(scalar.text) if scalar.plain else ""
    if meant:
        told = f'"{scalar.text}" is looked for as text in all fields'
        problems.warning(scalar.mark, f'{told}; for a field and its value write "{meant}", with the space')


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


def _nothing(item: Item, problems: Problems) -> None:
    """An empty item, as when each of its values was commented out: YAML reads a null."""
    node = item.entry.node
    if isinstance(node, Scalar) and node.is_null and not node.text:
        problems.warning(
            item.entry.key_mark,
            f'"{item.field}" has no value here, which matches events without it; write a value, '
            "or null to say so",
        )


def _once_boolean(item: Item, problems: Problems) -> None:
    """`yes` and `off`, which older YAML reads as booleans: no boolean of an event equals them."""
    for scalar in item.values:
        meant = _ONCE_BOOLEAN.get(scalar.text.casefold()) if scalar.plain else None
        if meant is not None:
            told = f"{scalar.text} is text here, not {meant}"
            problems.warning(scalar.mark, f"{told}; write {meant}, or '{scalar.text}' in quotes for the text")


def _not_there(item: Item, others: list[Item], problems: Problems, *, nulls: bool) -> None:
    """`neq` holds where the field is missing, too, unless another item of the same field asks for it."""
    if any(value.is_null for value in item.values) or any(_asks(other) for other in others):
        return
    way_out = f'add null to its values, or "{item.field}|neq: null" beside it, if the field must be there'
    if any(other.chain.kind == "exists" for other in others):
        if not nulls:
            return
        told = f'"{item.field}|exists: true" is true of a null, too, and so is this neq'
    else:
        told = f'neq is also true of an event without "{item.field}"'
    problems.warning(item.entry.key_mark, f"{told}; {way_out}")


def _null_exists(item: Item, others: list[Item], problems: Problems) -> None:
    """`exists` asks whether the key is there: a null is. Beside another item of the field, that decides."""
    if others or not item.values:
        return
    if item.values[0].value is True:
        told = f'"{item.field}|exists: true" is true of a null, too'
        problems.warning(
            item.entry.key_mark, f'{told}; write "{item.field}|neq: null" if it must have a value'
        )
    elif item.values[0].value is False:
        told = f'"{item.field}|exists: false" is not true of a null'
        problems.warning(item.entry.key_mark, f'{told}; write "{item.field}: null" for absent or null')


def _asks(item: Item) -> bool:
    """Whether an item holds only where its field has a value."""
    null = any(value.is_null for value in item.values)
    return item.chain.kind != "exists" and null == item.chain.neq


def _elements(items: list[Item], problems: Problems) -> None:
    """Two items of one array: each may be true of another member."""
    first: dict[str, str] = {}
    for item in items:
        if ELEMENTS not in item.field:
            continue
        array, crossed, within = item.field.partition(ELEMENTS)
        if crossed and within and first.setdefault(array, item.field) != item.field:
            problems.warning(
                item.entry.key_mark,
                f'"{first[array]}" and "{item.field}" may be true of different members of the array; '
                "ask about one of them, or write a selection each to say so",
            )


def _nothing_between(items: list[Item], problems: Problems) -> None:
    """Bounds of one field that leave no number: `hour|gte: 22` and `hour|lte: 6`."""
    lowest: dict[str, float] = {}
    for item in items:
        number = _only_number(item)
        if number is not None and item.chain.kind in _LOWER:
            lowest[item.chain.time_part] = number
    for item in items:
        number = _only_number(item)
        least = lowest.get(item.chain.time_part)
        if number is None or least is None or item.chain.kind not in _UPPER or least <= number:
            continue
        problems.warning(
            item.entry.key_mark,
            f"no value is above {least:g} and below {number:g} at once; write two selections, "
            "and join them with or",
        )


def _only_number(item: Item) -> float | None:
    """The one number that an item compares with."""
    values = item.values
    value = values[0].value if len(values) == 1 and not item.chain.neq else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
