"""What a detection says, as a tree of tests, and what the engine needs of it.

`codes_of` derives from the tree which event codes can match at all (AND is an intersection, OR a
union, NOT is unknown); `predicate` turns what the codes do not decide into flat closures, cheap
tests first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tocsin.model.event import Event

Predicate = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Test:
    """One question to an event.

    `key` is the question in canonical text: equal keys, equal answers. `fields` are the top-level
    fields it reads as attributes; a `deep` test decodes the whole record. `codes`: only events of
    these codes can pass; if `decided`, all of them do. `told`: by provider, which codes decide that
    all their events pass, where they decide at all (see `tocsin.rules.detection.narrow`).
    """

    key: str
    holds: Predicate
    fields: frozenset[str] = frozenset()
    deep: bool = False
    codes: frozenset[str] | None = None
    decided: bool = False
    told: Mapping[str, frozenset[str]] | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every one of at least one."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    item: Tree


Tree = Test | All | AnyOf | Not


class Codes(frozenset[str]):
    """Event codes, looked up whatever their case, because Sigma compares text so.

    It holds the codes as written, as the catalogue spells them, and case-folded.
    """

    __slots__ = ()

    def __contains__(self, code: object) -> bool:
        return super().__contains__(code) or (isinstance(code, str) and super().__contains__(code.casefold()))


def all_of(items: Iterable[Tree]) -> Tree:
    """AND, flattened."""
    return _joined(All, items)


def any_of(items: Iterable[Tree]) -> Tree:
    """OR, flattened."""
    return _joined(AnyOf, items)


def negated(item: Tree) -> Tree:
    """NOT, of which two are none."""
    return item.item if isinstance(item, Not) else Not(item)


def _joined(kind: type[All | AnyOf], items: Iterable[Tree]) -> Tree:
    flat = [*items]
    if len(flat) == 1:
        return flat[0]
    if kind in map(type, flat):
        flat = [part for item in flat for part in (item.items if isinstance(item, kind) else (item,))]
    return kind(tuple(flat))


def tests_of(tree: Tree) -> Iterator[Test]:
    """Every test of the tree."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, Test):
            yield part
        elif isinstance(part, Not):
            left.append(part.item)
        else:
            left.extend(reversed(part.items))


def text_of(tree: Tree) -> str:
    """The tree in canonical text, to hash."""
    match tree:
        case Test(key=key):
            return key
        case Not(item):
            return f"not({text_of(item)})"
        case All(items):
            return f"and({','.join(sorted(map(text_of, items)))})"
        case AnyOf(items):
            return f"or({','.join(sorted(map(text_of, items)))})"


def codes_of(tree: Tree) -> Codes | None:
    """The codes of the events that can match; None where any can."""
    found = _codes(tree)
    return None if found is None else Codes(found)


def _codes(tree: Tree) -> frozenset[str] | None:
    match tree:
        case Test():
            return tree.codes
        case Not():
            return None
        case All(items):
            known = [codes for item in items if (codes := _codes(item)) is not None]
            if len(known) < 2:  # noqa: PLR2004 - most conditions ask for the code once
                return known[0] if known else None
            return frozenset.intersection(*known)
        case AnyOf(items):
            each = [_codes(item) for item in items]
            known = [codes for codes in each if codes is not None]
            return frozenset().union(*known) if len(known) == len(each) else None


def predicate(tree: Tree) -> Predicate | None:
    """Whether an event whose code is one of `codes_of` matches; None where it always does."""
    left = _undecided(tree)
    return None if left is None else _closure(left)


def _undecided(tree: Tree) -> Tree | None:
    """What remains to be asked of an event of the right code."""
    match tree:
        case Test(decided=True):
            return None
        case Test() | Not():
            return tree
        case All(items):
            left = [rest for item in items if (rest := _undecided(item)) is not None]
            return all_of(left) if left else None
        case AnyOf(items):
            # One alternative that its code decides is not enough: another's codes are in the index too.
            return None if all(_undecided(item) is None for item in items) else tree


def _is_deep(tree: Tree) -> bool:
    if isinstance(tree, Test):
        return tree.deep
    return _is_deep(tree.item) if isinstance(tree, Not) else any(map(_is_deep, tree.items))


def _closure(tree: Tree) -> Predicate:
    match tree:
        case Test():
            return tree.holds
        case Not():
            return _not(_closure(tree.item))
        case All():
            return _all([_closure(item) for item in sorted(tree.items, key=_is_deep)])
        case AnyOf():
            return _any([_closure(item) for item in sorted(tree.items, key=_is_deep)])


def _not(inner: Predicate) -> Predicate:
    return lambda event: not inner(event)


def _all(parts: list[Predicate]) -> Predicate:
    if len(parts) == 2:  # noqa: PLR2004 - the common case, without a loop
        one, two = parts
        return lambda event: one(event) and two(event)

    def every(event: Event) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than the tests
            if not part(event):
                return False
        return True

    return every


def _any(parts: list[Predicate]) -> Predicate:
    if len(parts) == 2:  # noqa: PLR2004 - the common case, without a loop
        one, two = parts
        return lambda event: one(event) or two(event)

    def some(event: Event) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than the tests
            if part(event):
                return True
        return False

    return some
