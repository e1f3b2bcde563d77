"""`value_count`: how many distinct values of a field, or of several as a tuple."""

from __future__ import annotations

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.bounds import condition_of, fields_counted, percentile_ignored, read_bounds
from tocsin.rules.correlations.counting import count_in_windows
from tocsin.rules.correlations.keys import COMPARED, FIELD, condition
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading

EXAMPLE = "{gte: 10, field: data.user_name}"


def read(reading: Reading) -> Counting | None:
    """The bounds of the count, and what is counted."""
    section = condition_of(reading, EXAMPLE)
    if section is None:
        return None
    compared = read_bounds(reading, section, EXAMPLE)
    fields = fields_counted(section, "value_count", EXAMPLE)
    percentile_ignored(section, "value_count")
    section.done()
    return Counting(*compared, fields=fields) if compared and fields else None


def build(state: str, spec: CorrelationSpec, highest: float) -> Correlation:
    """A count of distinct values, ready to run."""
    return count_in_windows(state, spec.timespan_ms, spec.bounds, counts="values", highest=highest)


VALUE_COUNT = CorrelationType(
    summary="so many different values of a field in the window",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": condition({**COMPARED, "field": FIELD})},
)
