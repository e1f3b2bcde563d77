"""Which event codes a rule of the normalised view can match at all, whatever their provider.

For each provider the codes are few: those of its catalogue, those that the rule names, and one that
stands for all others. So of every part of a condition it can be said which of them may pass it and
which must, and NOT, which says nothing where only one of the two is known, turns them around.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from tocsin.catalog import PROVIDERS, codes
from tocsin.catalog.provider import ECS
from tocsin.rules.detection.ecs import UNKNOWN
from tocsin.rules.detection.tree import All, AnyOf, Codes, Not, Predicate, Test, Tree, tests_of

_NONE: frozenset[str] = frozenset()


class _Passing(NamedTuple):
    """The codes of which some event may pass, and those of which every event does."""

    may: frozenset[str]
    must: frozenset[str]


class Narrowed(NamedTuple):
    """What the codes alone say of a condition.

    `codes` are those of the events that can match; None where any can. `sure` are, by provider, the
    codes (case-folded) of which every event does.
    """

    codes: Codes | None
    sure: Mapping[str, frozenset[str]]

    def predicate(self, asked: Predicate | None) -> Predicate | None:
        """Whether an event of these codes matches: `asked` where its code does not tell; None: always."""
        if asked is None or not any(self.sure.values()):
            return asked
        sure = self.sure
        if self.codes is not None and len(sure) == 1 and all(self.codes <= some for some in sure.values()):
            return None
        return lambda event: event.code.casefold() in sure.get(event.provider, _NONE) or asked(event)


def narrowed(tree: Tree, product: str) -> Narrowed:
    """What codes say of a condition over events of this product (empty: of any)."""
    named = [test.codes for test in tests_of(tree) if test.codes is not None]
    mentioned = frozenset(code.casefold() for some in named for code in some)
    found: set[str] = set()
    sure: dict[str, frozenset[str]] = {}
    for provider in PROVIDERS.values():
        if product in ("", provider.name):
            known = _folded(provider.name)
            every = frozenset({*known, *mentioned, UNKNOWN}) if provider.code_field else frozenset({""})
            may, must = _passing(tree, provider.name, every)
            sure[provider.name] = must - {UNKNOWN}
            found |= {*may, *(known[code] for code in may if code in known)}
    anything = UNKNOWN in found or (product == ECS and "" in found)
    return Narrowed(None if anything else Codes(found), sure)


@cache
def _folded(provider: str) -> Mapping[str, str]:
    """The codes of the catalogue as it spells them, by their case-folded text."""
    return {code.casefold(): code for code in codes(provider)}


def _passing(tree: Tree, provider: str, every: frozenset[str]) -> _Passing:
    match tree:
        case Test():
            return _of_test(tree, provider, every)
        case Not(item):
            inner = _passing(item, provider, every)
            return _Passing(every - inner.must, every - inner.may)
        case All(items):
            may, must = _sides(items, provider, every)
            return _Passing(every.intersection(*may), every.intersection(*must))
        case AnyOf(items):
            may, must = _sides(items, provider, every)
            return _Passing(_NONE.union(*may), _NONE.union(*must))


def _sides(
    items: tuple[Tree, ...], provider: str, every: frozenset[str]
) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    """What may pass each item and what must; a set that many items share, as most do, once."""
    each = [_passing(item, provider, every) for item in items]
    may, must = ({id(one[side]): one[side] for one in each} for side in (0, 1))
    return [*may.values()], [*must.values()]


def _of_test(test: Test, provider: str, every: frozenset[str]) -> _Passing:
    if test.told is not None and provider in test.told:
        told = test.told[provider]
        # A code that the rule names and the catalogue does not know is one of the unknown.
        unknown = every - _folded(provider).keys() if UNKNOWN in told else _NONE
        passing = (told & every) | unknown
        return _Passing(passing, passing)
    if test.codes is None:
        return _Passing(every, _NONE)
    passing = every & frozenset(code.casefold() for code in test.codes)
    return _Passing(passing, passing if test.decided else _NONE)
