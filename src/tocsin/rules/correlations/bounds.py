"""Reading the numbers that a score is compared with."""

from __future__ import annotations

import math
from typing import NamedTuple

from tocsin.rules.correlations.counting import HIGHEST_COUNT, OPERATORS, Bounds
from tocsin.rules.correlations.kind import Reading
from tocsin.rules.document import Items, Scalar
from tocsin.rules.section import Section, number_of

NOTHING = Bounds((("gte", 1),))  # in place of bounds with a mistake


class Compared(NamedTuple):
    """The bounds, and the highest number that a param may raise one to."""

    bounds: Bounds
    highest: float


def condition_of(reading: Reading, example: str) -> Section | None:
    """The condition's section; None after a mistake, or where there is none."""
    section = reading.section
    written = section.node("condition")
    if isinstance(written, Items | Scalar) and not (isinstance(written, Scalar) and written.is_open):
        shown = "a list" if isinstance(written, Items) else repr(written.text)
        section.wrong("condition", f"condition must be a map, not {shown}; write it like {example}")
        return None
    condition = section.section("condition", "condition")
    if condition is None and section.lacks("condition"):
        section.problems.error(section.mark, f"a correlation needs a condition, like {example}")
    return condition


def read_bounds(
    reading: Reading, condition: Section, example: str, *, counted: bool = True, names: tuple[str, ...] = ()
) -> Compared | None:
    """The `gte gt lte lt eq neq` of a condition; None after a mistake.

    `counted`: they are compared with a count, so none is negative and some count must be within.
    `names`: other keys of this condition, which are somebody else's.
    """
    before = len(condition.problems.errors)
    pairs: list[tuple[str, float]] = []
    highest = 0.0
    for name in OPERATORS:
        _refuse_nothing(condition, name)
        node = condition.scalar(name, "a number")
        number = None if node is None else number_of(node, name, condition.problems)
        if (
            node is not None
            and number is not None
            and _is_bound(node, number, name, condition, counted=counted)
        ):
            pairs.append((name, number))
            param = reading.params.get(node.param)
            highest = max(highest, param.highest or 0) if param else highest
    condition_keys = {"field", *names}
    if not pairs:
        if len(condition.problems.errors) == before and not condition.table.entries.keys() - condition_keys:
            condition.problems.error(condition.mark, f"the condition compares with nothing; write {example}")
        return None
    bounds = Bounds(tuple(pairs))
    if counted and not bounds.satisfiable:
        condition.problems.error(condition.mark, "no count can meet this condition; check its numbers")
        return None
    return Compared(bounds, highest)


def _refuse_nothing(condition: Section, name: str) -> None:
    """A bound that is written, and is null, would be no bound."""
    if name in condition.table.entries and condition.lacks(name):
        condition.wrong(name, f"{name} must be a number; write one, or remove it")


def _is_bound(node: Scalar, number: float, name: str, condition: Section, *, counted: bool) -> bool:
    lowest = 0 if counted else -HIGHEST_NUMBER
    most = HIGHEST_COUNT if counted else HIGHEST_NUMBER
    if math.isfinite(number) and lowest <= number <= most:
        return True
    condition.problems.error(node.mark, f"{name} must be from {lowest} to {most}, not {node.text}")
    return False


HIGHEST_NUMBER = 10**15  # of sums and averages; a float is exact up to there


def fields_counted(condition: Section, kind: str, example: str) -> tuple[str, ...]:
    """The condition's `field`, which this type needs; empty after a mistake."""
    fields = named_fields(condition, example)
    if not fields and condition.lacks("field"):
        condition.problems.error(condition.mark, f"{kind} counts the values of a field; write {example}")
    return fields


def named_fields(condition: Section, example: str) -> tuple[str, ...]:
    """The condition's `field`, one or several; empty where one has no name, which is told."""
    return condition.names("field", example)


def fields_ignored(condition: Section, kind: str, counts: str = "events") -> None:
    """Warn of a `field`, or a `percentile`, that this type does not read."""
    percentile_ignored(condition, kind)
    if condition.has("field"):
        condition.problems.warning(
            condition.mark_of("field"),
            f"{kind} counts {counts} and ignores field; use value_count, or remove it",
        )


def percentile_ignored(condition: Section, kind: str) -> None:
    """Warn of a `percentile` that this type does not read."""
    if "percentile" in condition.table.entries and condition.texts("percentile"):
        condition.problems.warning(
            condition.mark_of("percentile"),
            f"{kind} ignores percentile; use value_percentile, or remove it",
        )
