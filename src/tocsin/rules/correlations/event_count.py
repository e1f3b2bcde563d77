"""`event_count`: how many events, each once by its id."""

from __future__ import annotations

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.bounds import condition_of, fields_ignored, read_bounds
from tocsin.rules.correlations.counting import count_in_windows
from tocsin.rules.correlations.keys import COMPARED, IGNORED_FIELD, condition
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading

EXAMPLE = "{gte: 10}"


def read(reading: Reading) -> Counting | None:
    """The bounds of the count."""
    section = condition_of(reading, EXAMPLE)
    if section is None:
        return None
    compared = read_bounds(reading, section, EXAMPLE)
    fields_ignored(section, "event_count")
    section.done()
    return Counting(*compared) if compared else None


def build(state: str, spec: CorrelationSpec, highest: float) -> Correlation:
    """An event count, ready to run."""
    return count_in_windows(state, spec.timespan_ms, spec.bounds, counts="events", highest=highest)


EVENT_COUNT = CorrelationType(
    summary="so many events in the window",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": condition({**COMPARED, "field": IGNORED_FIELD})},
)
