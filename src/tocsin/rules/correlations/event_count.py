"""`event_count`: how many events, each once by its id."""

from __future__ import annotations

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations.counting import Bounds, count_in_windows

COUNTS_FIELD = False


def build(state: str, span_ms: int, bounds: Bounds, highest: float) -> Correlation:
    """An event count, ready to run."""
    return count_in_windows(state, span_ms, bounds, counts="events", highest=highest)
