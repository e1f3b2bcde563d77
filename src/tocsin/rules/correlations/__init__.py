"""One file a correlation type, and one line of this registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tocsin.model.compiled import Correlation
from tocsin.rules.correlations import event_count, value_count
from tocsin.rules.correlations.counting import Bounds


class CorrelationType(NamedTuple):
    """`counts_field`: its condition names a field. `build` takes state, span, bounds and highest bound."""

    counts_field: bool
    build: Callable[[str, int, Bounds, float], Correlation]


CORRELATIONS: dict[str, CorrelationType] = {
    "event_count": CorrelationType(event_count.COUNTS_FIELD, event_count.build),
    "value_count": CorrelationType(value_count.COUNTS_FIELD, value_count.build),
}

# What Sigma and tocsin know, and this version does not run yet.
OTHER_TYPES = (
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
    "ratio",
    "shape",
    "spike",
    "first_seen",
    "geo_velocity",
    "absence",
    "sequence",
)
