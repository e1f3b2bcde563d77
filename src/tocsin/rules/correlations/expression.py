"""A condition over the rules of a correlation, as text: `a and b and not c`.

What it asks is which of the rules were seen; Sigma calls it an extended condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from tocsin.rules.detection.condition import parse_condition
from tocsin.rules.detection.tree import All, AnyOf, Not, Test, Tree
from tocsin.rules.document import Scalar
from tocsin.rules.problems import Problems

MOST_WAYS = 1_000  # of one condition to be true
MOST_TRIED = 10  # rules, of all of whose combinations a condition is tried


class Said(NamedTuple):
    """`seen` of a step, or `and`, `or`, `not` of parts; equal texts are equal values."""

    word: str
    parts: tuple[Said, ...] = ()
    step: int = 0


def read_expression(condition: Scalar, rules: Sequence[Scalar], problems: Problems) -> Said | None:
    """What the condition says of these rules, the first of which is step 0; None after a mistake."""
    names = list(dict.fromkeys(rule.text for rule in rules))
    if not names:
        return None  # told already
    tests = {name: Test(name, lambda _event: True) for name in names}
    tree, used = parse_condition(condition, tests, problems, noun="rule")
    if tree is None:
        return None
    said = _said(tree, names)
    if not _possible(said, len(names)):
        problems.error(
            condition.mark,
            "no window can meet this condition, as in each is one of the rules; check its words",
        )
        return None
    for rule in rules:
        # Beside a "not" a rule that the condition never says opens windows.
        if rule.text not in used and not denies(said):
            problems.warning(
                rule.mark, f'the condition never says "{rule.text}"; use it there, or remove it here'
            )
    return said


def _possible(said: Said, rules: int) -> bool:
    """Whether it is true of some of the rules; of so many that it takes too long to know, assumed."""
    if rules > MOST_TRIED or not denies(said):
        return True
    holds = holding(said)
    return any(holds(seen) for seen in product((0, 1), repeat=rules) if any(seen))


def _said(tree: Tree, names: Sequence[str]) -> Said:
    match tree:
        case Test(key=key):
            return Said("seen", step=names.index(key))
        case Not(item):
            return Said("not", (_said(item, names),))
        case All(items):
            return Said("and", tuple(_said(item, names) for item in items))
        case AnyOf(items):
            return Said("or", tuple(_said(item, names) for item in items))


def denies(said: Said) -> bool:
    """Whether more that is seen could make it false."""
    return said.word == "not" or any(denies(part) for part in said.parts)


def holding(said: Said) -> Callable[[Sequence[int]], bool]:
    """Whether it is true, by how often each step was seen."""
    parts = [holding(part) for part in said.parts]
    match said.word:
        case "seen":
            step = said.step
            return lambda counts: counts[step] > 0
        case "not":
            (inner,) = parts
            return lambda counts: not inner(counts)
        case "and":
            return lambda counts: all(part(counts) for part in parts)
    return lambda counts: any(part(counts) for part in parts)


def ways(said: Said) -> set[frozenset[int]] | None:
    """The sets of steps of which each, all seen, makes it true; None if they are too many.

    Of one that denies nothing.
    """
    if said.word == "seen":
        return {frozenset((said.step,))}
    each = [ways(part) for part in said.parts]
    found: set[frozenset[int]] = {frozenset()} if said.word == "and" else set()
    for some in each:
        if some is None:
            return None
        if said.word == "or":
            found |= some
        elif len(found) * len(some) > MOST_WAYS * MOST_WAYS:
            return None
        else:
            found = {one | other for one, other in product(found, some)}
        if len(found) > MOST_WAYS:
            return None
    return found
