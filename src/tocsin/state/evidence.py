"""Evidence: what the recent events of a group looked like, for the alert that may come of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tocsin.model.alert import Reader, Sightings, Triggers, fingerprint
from tocsin.model.event import Event, as_text
from tocsin.protocols import Sighted
from tocsin.state.connection import Store

VALUE_CHARACTERS = 128
MOST_BYTES = 4_096  # of evidence per group
KEPT_BYTES = 3_584  # what is left when it grew beyond
MOST_EVENTS = 50  # of one batch: more lines than these would be cut off again
BACKSTOP_MS = 7 * 86_400_000


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
            while batches[0].newest_ms < committed_ms - sighted.span_ms:
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


class _Line(NamedTuple):
    """One event in a group's log: time, id, and what the readers read."""

    time_ms: int
    id: str
    values: tuple[str | None, ...]


class RedisEvidence:
    """Keeps the newest sightings of each group, as a log of JSON lines of at most 4 KB."""

    from_size = 2

    def __init__(self, store: Store) -> None:
        self._store = store
        self._append = store.script("evidence_append")

    def remember(self, tenant: str, seen: Sequence[Sighted], *, newest_ms: int, committed_ms: int) -> None:
        del newest_ms, committed_ms  # a log's length is bounded, not its age
        keys: list[bytes] = []
        args: list[bytes | int] = [MOST_BYTES, KEPT_BYTES]
        for sighted in seen:
            for group, events in sighted.groups.items():
                keys.append(self._key(tenant, sighted.state, group))
                args += [sighted.span_ms + BACKSTOP_MS, _lines(events, sighted.readers)]
        if keys:
            self._append(keys, args)

    def recall(self, trigger: Triggers, from_ms: int, to_ms: int) -> Sightings:
        """What the log still holds, and the trigger's own events.

        The log is only read for a whole window: what an alert grows by came with the trigger.
        """
        lines = [_line(event, trigger.readers) for event in trigger.events]
        if to_ms - from_ms >= trigger.rule.timespan_ms:
            lines += self._logged(trigger)
        by_id = {(line.time_ms, line.id): line for line in lines if from_ms <= line.time_ms <= to_ms}
        ordered = [by_id[key] for key in sorted(by_id)]
        columns = [[line.values[place] for line in ordered] for place in range(len(trigger.readers))]
        return Sightings([line.time_ms for line in ordered], [line.id for line in ordered], columns)  # type: ignore[arg-type]

    def _logged(self, trigger: Triggers) -> list[_Line]:
        with self._store.reaching():
            log: Any = self._store.client.get(self._key(trigger.tenant, trigger.state, trigger.group))
        lines = (_decode(line) for line in (log or b"").split(b"\n") if line)
        return [line for line in lines if len(line.values) == len(trigger.readers)]  # else: before a reload

    def _key(self, tenant: str, state: str, group: str) -> bytes:
        return self._store.key("evidence", fingerprint(tenant, state, group))


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def _lines(events: Sequence[Event], readers: Sequence[Reader]) -> bytes:
    newest = sorted(events, key=lambda event: event.time_ms)[-MOST_EVENTS:]
    return b"".join(_encode(_line(event, readers)) + b"\n" for event in newest)


def _line(event: Event, readers: Sequence[Reader]) -> _Line:
    texts = (as_text(reader(event)) for reader in readers)
    values = tuple(None if text is None else text[:VALUE_CHARACTERS] for text in texts)
    return _Line(event.time_ms, event.id, values)
