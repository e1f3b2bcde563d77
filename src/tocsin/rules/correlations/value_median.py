"""`value_median`: the number in the middle of a field's numbers; of an even count, half-way between two."""

from __future__ import annotations

from fractions import Fraction

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading
from tocsin.rules.correlations.numbers import computed, condition_schema, read_numbers, seen_numbers
from tocsin.rules.correlations.value_percentile import Ranked

EXAMPLE = "{gte: 500, field: data.details.elapsed}"


def read(reading: Reading) -> Counting | None:
    """The bounds of the median, and what it is of."""
    return read_numbers(reading, "value_median", EXAMPLE)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A median, ready to run."""
    return computed(state, spec, lambda values: Ranked(Fraction(1, 2), values))


VALUE_MEDIAN = CorrelationType(
    summary="the median of a field's numbers in the window is so high, or so low",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": condition_schema()},
    seen=seen_numbers,
)
