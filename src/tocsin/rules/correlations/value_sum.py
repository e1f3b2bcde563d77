"""`value_sum`: what the numbers of a field add up to."""

from __future__ import annotations

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading
from tocsin.rules.correlations.numbers import (
    Total,
    computed,
    condition_schema,
    read_numbers,
    rounded,
    seen_numbers,
)

EXAMPLE = "{gte: 1000, field: data.details.bytes}"


def read(reading: Reading) -> Counting | None:
    """The bounds of the sum, and what is added up."""
    return read_numbers(reading, "value_sum", EXAMPLE)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A sum, ready to run."""
    return computed(state, spec, lambda values: Total(_sum, values))


def _sum(units: int, _count: int) -> float:
    return rounded(units, 1)


VALUE_SUM = CorrelationType(
    summary="the numbers of a field in the window add up to so much",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": condition_schema()},
    seen=seen_numbers,
)
