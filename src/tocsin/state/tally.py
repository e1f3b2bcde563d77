"""Evidence while it grows: counts of what an alert's events had in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from typing import cast

from tocsin.model.alert import TOP_VALUES, Evidence, Sightings, Value
from tocsin.model.event import as_text

NEWEST_EVENTS = 50
VALUE_CHARACTERS = 128
_STR = frozenset({str})
_NO_KEYS = {list, dict}  # types of values that no dict takes as a key


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
        self._counts: list[dict[object, int]] = [{} for _ in fields]
        self._ids: list[str] = []
        self._approximate = False
        self._told: Evidence | None = None  # as it stands, until more is added

    @classmethod
    def of(cls, evidence: Evidence, fields: Sequence[str], through_ms: int) -> Tally:
        """Go on from evidence that was stored."""
        tally = cls(fields, most=TOP_VALUES)
        tally.total, tally.through_ms = evidence.total, through_ms
        tally._ids = list(evidence.events)
        tally._approximate = evidence.approximate
        for counts, field in zip(tally._counts, fields, strict=True):
            counts.update((value.text, value.count) for value in evidence.values.get(field, []))
        return tally

    def add(self, sightings: Sightings) -> None:
        """Count more events; the columns begin with those of the fields."""
        if not sightings.ids:
            return
        self._told = None
        self.total += len(sightings.ids)
        self._ids = [*self._ids, *sightings.ids[-NEWEST_EVENTS:]][-NEWEST_EVENTS:]
        for place, column in enumerate(sightings.columns[: len(self.fields)]):
            self._count(place, column if _NO_KEYS.isdisjoint(map(type, column)) else [*map(as_text, column)])
        self._trim()

    def _count(self, place: int, column: Sequence[object]) -> None:
        counts = self._counts[place]
        if len(column) == 1:
            counts[column[0]] = counts.get(column[0], 0) + 1
            return
        if not isinstance(counts, Counter):  # Made when it pays: most alerts are of one event.
            counts = self._counts[place] = Counter(counts)
        counts.update(column)

    def merge(self, other: Tally) -> None:
        """Take over what another tally counted of events of its own."""
        self._told = None
        self.total += other.total
        self.through_ms = max(self.through_ms, other.through_ms)
        self._ids = [*self._ids, *other._ids][-NEWEST_EVENTS:]
        self._approximate |= other._approximate
        for counts, field in zip(self._counts, self.fields, strict=True):
            if field in other.fields:
                _add(counts, other._counts[other.fields.index(field)])

    def turn_to(self, fields: Sequence[str]) -> None:
        """Count these fields from now on (the rule was changed); what is known of them stays."""
        known = dict(zip(self.fields, self._counts, strict=True))
        self.fields = tuple(fields)
        self._counts = [known.get(field, {}) for field in fields]
        self._told = None

    def evidence(self) -> Evidence:
        """As it stands: texts capped, ties by text, so that the same events give the same evidence.

        Not to be changed: what is told of an alert shares it as long as nothing is added.
        """
        if self._told is None:
            self._told = self._evidence()
        return self._told

    def _evidence(self) -> Evidence:
        values: dict[str, list[Value]] = {}
        for field, counts in zip(self.fields, self._counts, strict=True):
            top = _top(counts)
            if top:
                values[field] = top
        return Evidence(
            total=self.total, events=list(self._ids), values=values, approximate=self._approximate
        )

    def _trim(self) -> None:
        for index, counts in enumerate(self._counts):
            if len(counts) > 2 * self._most:
                self._counts[index] = dict(Counter(counts).most_common(self._most))
                self._approximate = True


def _add(counts: dict[object, int], more: Mapping[object, int]) -> None:
    for value, count in more.items():
        counts[value] = counts.get(value, 0) + count


def _top(counts: Mapping[object, int]) -> list[Value]:
    if len(counts) == 1:  # most alerts are of one event
        ((value, count),) = counts.items()
        text = as_text(value)
        return [Value(text[:VALUE_CHARACTERS], count)] if text else []
    texts = _as_texts(counts)
    if len(texts) > TOP_VALUES:
        least = sorted(texts.values(), reverse=True)[TOP_VALUES - 1]
        # Of a crowd, as a rule, each was seen once: to compare texts alone is three times as quick.
        last = nsmallest(TOP_VALUES, [text for text, count in texts.items() if count == least])
        texts = {
            **{text: count for text, count in texts.items() if count > least},
            **dict.fromkeys(last, least),
        }
    top = sorted([(-count, text) for text, count in texts.items()])[:TOP_VALUES]
    return [Value(text, -negated) for negated, text in top]


def _as_texts(counts: Mapping[object, int]) -> Mapping[str, int]:
    """Counts by text, as much of it as is told; what has none is left out."""
    if None in counts or "" in counts:
        counts = {value: count for value, count in counts.items() if value is not None and value != ""}
    if _STR.issuperset(map(type, counts)):
        known = cast("Mapping[str, int]", counts)
        if max(map(len, known), default=0) <= VALUE_CHARACTERS:
            return known
    texts: dict[str, int] = {}
    for value, count in counts.items():
        text = value if type(value) is str else as_text(value)
        if text:
            text = text[:VALUE_CHARACTERS]
            texts[text] = texts.get(text, 0) + count
    return texts
