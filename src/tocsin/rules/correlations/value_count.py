"""`value_count`: how many distinct values of a field, or of several as a tuple."""

from __future__ import annotations

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.counting import Bounds, count_in_windows

COUNTS_FIELD = True


def build(state: str, span_ms: int, bounds: Bounds, highest: float) -> Correlation:
    """A count of distinct values, ready to run."""
    return count_in_windows(state, span_ms, bounds, counts="values", highest=highest)
