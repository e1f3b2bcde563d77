"""`value_percentile`: the number below which so many in a hundred of a field's numbers lie.

Between two of them it is interpolated, in a straight line, as spreadsheets and databases do
(`PERCENTILE_CONT`): the 50th of 1 and 2 is 1.5.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from fractions import Fraction

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.keys import number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading
from tocsin.rules.correlations.numbers import computed, condition_schema, read_numbers, seen_numbers, unpacked
from tocsin.rules.section import Section

EXAMPLE = "{gte: 500, field: data.details.elapsed, percentile: 95}"
_MANY = 32  # numbers that come at once are sorted in; fewer are put in their places
_HUNDRED = 100


def read(reading: Reading) -> Counting | None:
    """The bounds, what it is of, and which percentile."""
    return read_numbers(reading, "value_percentile", EXAMPLE, _percentile)


def _percentile(section: Section) -> Fraction | None:
    node = section.scalar("percentile", "a number")
    written = section.number("percentile")
    if node is None or written is None:
        if section.lacks("percentile"):
            section.problems.error(section.mark, f"value_percentile needs a percentile; write {EXAMPLE}")
        return None
    if not 0 <= written <= _HUNDRED:
        section.wrong("percentile", f"percentile must be from 0 to {_HUNDRED}, not {node.text}")
        return None
    return Fraction(str(written)) / _HUNDRED


class Ranked:
    """An aggregate: the numbers of a window in order, and the one at this `share` of the way."""

    __slots__ = ("_new", "_share", "_sorted")

    def __init__(self, share: Fraction, values: Sequence[int] = ()) -> None:
        self._share = share
        self._sorted = array("d", sorted(map(unpacked, values)))
        self._new: list[float] = []

    def add(self, value: int) -> None:
        """A number enters."""
        self._new.append(unpacked(value))

    def remove(self, value: int) -> None:
        """A number leaves."""
        self._take_in()
        del self._sorted[bisect_left(self._sorted, unpacked(value))]

    def score(self) -> float | None:
        """The percentile, rounded once."""
        self._take_in()
        if not self._sorted:
            return None
        place = (len(self._sorted) - 1) * self._share
        low = int(place)
        below = self._sorted[low]
        if place == low or below == self._sorted[low + 1]:
            return below
        return float(Fraction(below) + (Fraction(self._sorted[low + 1]) - Fraction(below)) * (place - low))

    def _take_in(self) -> None:
        if len(self._new) > _MANY:
            self._sorted = array("d", sorted([*self._sorted, *self._new]))
        else:
            for value in self._new:
                insort(self._sorted, value)
        self._new.clear()


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A percentile, ready to run."""
    share = spec.own if isinstance(spec.own, Fraction) else Fraction(1, 2)
    return computed(state, spec, lambda values: Ranked(share, values))


VALUE_PERCENTILE = CorrelationType(
    summary="a percentile of a field's numbers in the window is so high, or so low",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={
        "condition": condition_schema(percentile=number("From 0 to 100; 50 is the median.", highest=_HUNDRED))
    },
    seen=seen_numbers,
)
