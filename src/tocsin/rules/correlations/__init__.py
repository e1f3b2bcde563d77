"""One file a correlation type, and one line of this registry."""

from __future__ import annotations

from tocsin.rules.correlations.absence import ABSENCE
from tocsin.rules.correlations.event_count import EVENT_COUNT
from tocsin.rules.correlations.first_seen import FIRST_SEEN
from tocsin.rules.correlations.geo_velocity import GEO_VELOCITY
from tocsin.rules.correlations.kind import CorrelationType
from tocsin.rules.correlations.ratio import RATIO
from tocsin.rules.correlations.sequence import SEQUENCE
from tocsin.rules.correlations.shape import SHAPE
from tocsin.rules.correlations.spike import SPIKE
from tocsin.rules.correlations.temporal import TEMPORAL
from tocsin.rules.correlations.temporal_ordered import TEMPORAL_ORDERED
from tocsin.rules.correlations.value_avg import VALUE_AVG
from tocsin.rules.correlations.value_count import VALUE_COUNT
from tocsin.rules.correlations.value_median import VALUE_MEDIAN
from tocsin.rules.correlations.value_percentile import VALUE_PERCENTILE
from tocsin.rules.correlations.value_ratio import VALUE_RATIO
from tocsin.rules.correlations.value_sum import VALUE_SUM

CORRELATIONS: dict[str, CorrelationType] = {
    "event_count": EVENT_COUNT,
    "value_count": VALUE_COUNT,
    "temporal": TEMPORAL,
    "temporal_ordered": TEMPORAL_ORDERED,
    "value_sum": VALUE_SUM,
    "value_avg": VALUE_AVG,
    "value_percentile": VALUE_PERCENTILE,
    "value_median": VALUE_MEDIAN,
    "spike": SPIKE,
    "first_seen": FIRST_SEEN,
    "absence": ABSENCE,
    "geo_velocity": GEO_VELOCITY,
    "ratio": RATIO,
    "value_ratio": VALUE_RATIO,
    "shape": SHAPE,
    "sequence": SEQUENCE,
}
