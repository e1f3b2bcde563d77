"""Evidence while it grows: counts of what an alert's events had in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tocsin.model.alert import Evidence, Reader, Sighting, Value
from tocsin.model.event import Event, as_text

TOP_VALUES = 20
NEWEST_EVENTS = 50
VALUE_CHARACTERS = 128


class Tally:
    """Top values per context field and the newest event ids, of events added in time order.

    `most` bounds how many distinct values a field remembers; beyond it the rarest are let go and
    the counts are marked approximate.
    """

    def __init__(self, fields: Sequence[str], *, most: int = 2_000) -> None:
        self.fields = tuple(fields)
        self.total = 0
        self.through_ms = -1  # everything up to here was added
        self._most = most
        self._counts: list[Counter[object]] = [Counter() for _ in fields]
        self._ids: list[str] = []
        self._approximate = False

    @classmethod
    def of(cls, evidence: Evidence, fields: Sequence[str], through_ms: int) -> Tally:
        """Go on from evidence that was stored."""
        tally = cls(fields, most=TOP_VALUES)
        tally.total, tally.through_ms = evidence.total, through_ms
        tally._ids = list(evidence.events)
        tally._approximate = evidence.approximate
        for counts, field in zip(tally._counts, fields, strict=True):
            counts.update({value.text: value.count for value in evidence.values.get(field, [])})
        return tally

    def add(self, events: Sequence[Event], readers: Sequence[Reader]) -> None:
        """Add events, oldest first; `readers` begin with those of the fields."""
        if not events:
            return
        self.total += len(events)
        self.through_ms = max(self.through_ms, events[-1].time_ms)
        self._ids = [*self._ids, *(event.id for event in events[-NEWEST_EVENTS:])][-NEWEST_EVENTS:]
        for counts, reader in zip(self._counts, readers, strict=False):
            try:
                counts.update(map(reader, events))
            except TypeError:  # a list or an object is no key of a dict
                counts.update(as_text(reader(event)) for event in events)
        self._trim()

    def add_sightings(self, sightings: Sequence[Sighting]) -> None:
        """Add what the evidence store remembered, oldest first."""
        if not sightings:
            return
        self.total += len(sightings)
        self.through_ms = max(self.through_ms, sightings[-1].time_ms)
        self._ids = [*self._ids, *(sighting.id for sighting in sightings)][-NEWEST_EVENTS:]
        for index, counts in enumerate(self._counts):
            counts.update(sighting.values[index] for sighting in sightings)
        self._trim()

    def merge(self, other: Tally) -> None:
        """Take over what another tally counted of events of its own."""
        self.total += other.total
        self.through_ms = max(self.through_ms, other.through_ms)
        self._ids = [*self._ids, *other._ids][-NEWEST_EVENTS:]
        self._approximate |= other._approximate
        for counts, others in zip(self._counts, other._counts, strict=True):
            counts.update(others)

    def knows(self, event_id: str) -> bool:
        """Whether the event is among the newest."""
        return event_id in self._ids

    def evidence(self) -> Evidence:
        """As it stands: texts capped, ties by text, so that the same events give the same evidence."""
        values: dict[str, list[Value]] = {}
        for field, counts in zip(self.fields, self._counts, strict=True):
            top = _top(counts.items())
            if top:
                values[field] = top
        return Evidence(
            total=self.total, events=list(self._ids), values=values, approximate=self._approximate
        )

    def _trim(self) -> None:
        for index, counts in enumerate(self._counts):
            if len(counts) > 2 * self._most:
                self._counts[index] = Counter(dict(counts.most_common(self._most)))
                self._approximate = True


def _top(counts: Iterable[tuple[object, int]]) -> list[Value]:
    texts: Counter[str] = Counter()
    for value, count in counts:
        text = as_text(value)
        if text is not None:
            texts[text[:VALUE_CHARACTERS]] += count
    ranked = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return [Value(text, count) for text, count in ranked[:TOP_VALUES]]
