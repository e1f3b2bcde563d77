"""Evidence: what the recent events of a group looked like, for the alert that may come of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tocsin.model.alert import Sightings, Triggers
from tocsin.model.event import Event
from tocsin.model.observed import Sighted


class _Remembered(NamedTuple):
    """What one rule saw in one batch."""

    newest_ms: int
    groups: Mapping[str, list[Event]]


class MemoryEvidence:
    """Keeps the events themselves, exactly, as long as their window lives.

    A batch is remembered whole, by reference: that costs nothing per event, and only a group that
    fires is ever looked up again.
    """

    from_size = 1

    def __init__(self) -> None:
        self._batches: dict[tuple[str, str], deque[_Remembered]] = defaultdict(deque)

    def remember(self, tenant: str, seen: Sequence[Sighted], *, newest_ms: int, committed_ms: int) -> None:
        for sighted in seen:
            batches = self._batches[tenant, sighted.state]
            batches.append(_Remembered(newest_ms, sighted.groups))
            while batches and batches[0].newest_ms < committed_ms - sighted.span_ms:
                batches.popleft()

    def recall(self, trigger: Triggers, from_ms: int, to_ms: int) -> Sightings:
        inside = [
            event
            for batch in self._batches[trigger.tenant, trigger.state]
            if batch.newest_ms >= from_ms
            for event in batch.groups.get(trigger.group, ())
            if from_ms <= event.time_ms <= to_ms
        ]
        return Sightings.of(inside, trigger.readers)
