"""`value_avg`: the mean of the numbers of a field."""

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

EXAMPLE = "{gte: 0.8, field: data.details.riskScore}"


def read(reading: Reading) -> Counting | None:
    """The bounds of the mean, and what it is of."""
    return read_numbers(reading, "value_avg", EXAMPLE)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A mean, ready to run."""
    return computed(state, spec, lambda values: Total(rounded, values))


VALUE_AVG = CorrelationType(
    summary="the mean of a field's numbers in the window is so high, or so low",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": condition_schema()},
    seen=seen_numbers,
)
