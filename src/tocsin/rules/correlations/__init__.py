"""One file a correlation type, and one line of this registry."""

from __future__ import annotations

from tocsin.rules.correlations.event_count import EVENT_COUNT
from tocsin.rules.correlations.kind import CorrelationType
from tocsin.rules.correlations.value_count import VALUE_COUNT

CORRELATIONS: dict[str, CorrelationType] = {
    "event_count": EVENT_COUNT,
    "value_count": VALUE_COUNT,
}
