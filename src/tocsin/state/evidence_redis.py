"""Evidence on Redis: the newest sightings of each group, at most 4 KB of them."""

from __future__ import annotations

from base64 import b85decode, b85encode
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from tocsin.model.alert import Reader, Sightings, Triggers, fingerprint
from tocsin.model.event import Event, as_text
from tocsin.model.observed import Sighted
from tocsin.state.connection import Store

VALUE_CHARACTERS = 128
MOST_BYTES = 4_096  # of evidence per group
MOST_EVENTS = 50
# Beyond the span: evidence is worth what its window is, and strangers choose how many groups there are.
LINGER_MS = 3_600_000
_TEXT, _NUMBER = "=", "~"  # what an id begins with: as it is, or a number of digits alone


class _Line(NamedTuple):
    """One sighting: time, id, and what the readers read."""

    time_ms: int
    id: str
    values: tuple[str | None, ...]


class RedisEvidence:
    """Implements `protocols.EvidenceStore`; evidence begins with a group's second event."""

    from_size = 2

    def __init__(self, store: Store) -> None:
        self._store = store
        self._add = store.script("evidence_add")

    def remember(self, tenant: str, seen: Sequence[Sighted], *, newest_ms: int, committed_ms: int) -> None:
        del newest_ms, committed_ms  # its size is bounded, not its age
        keys: list[bytes] = []
        args: list[bytes | int] = [MOST_BYTES, MOST_EVENTS]
        for sighted in seen:
            home = _home(sighted.state, sighted.context)
            for group, events in sighted.groups.items():
                keys.append(self._key(tenant, home, group))
                args += [sighted.span_ms + LINGER_MS, _packed(events, sighted.readers)]
        if keys:
            self._add(keys, args)

    def recall(self, trigger: Triggers, from_ms: int, to_ms: int) -> Sightings:
        """What the store still holds, and the trigger's own events.

        The store is only read for a whole window: what an alert grows by came with the trigger. Or for
        one without events, which the watermark decided: its own came earlier. When a flood has pushed
        these out since, what the flood went on with stands for them.
        """
        lines = [_line(event, trigger.readers) for event in trigger.events]
        later: list[_Line] = []
        if not lines or to_ms - from_ms >= trigger.rule.evidence_ms:
            held, is_full = self._held(trigger)
            lines += held
            later = [line for line in held if line.time_ms > to_ms] if is_full else []
        inside = [line for line in lines if from_ms <= line.time_ms <= to_ms]
        by_id = {(line.time_ms, line.id): line for line in inside or later}
        ordered = [by_id[key] for key in sorted(by_id)]
        columns: list[list[object]] = [
            [line.values[place] for line in ordered] for place in range(len(trigger.readers))
        ]
        return Sightings([line.time_ms for line in ordered], [line.id for line in ordered], columns)

    def _held(self, trigger: Triggers) -> tuple[list[_Line], bool]:
        """What is kept of the group, and whether there was so much that older ones may have gone."""
        with self._store.reaching():
            home = _home(trigger.state, trigger.rule.context)
            held: Any = self._store.client.get(self._key(trigger.tenant, home, trigger.group))
        if held is None:
            return [], False
        values, rows = msgspec.msgpack.decode(held)
        lines = [
            _Line(at_ms, _long(id_), tuple(values[p - 1] or None for p in at)) for at_ms, id_, *at in rows
        ]
        return lines, len(rows) >= MOST_EVENTS or len(held) > MOST_BYTES // 2

    def _key(self, tenant: str, home: str, group: str) -> bytes:
        return self._store.key("evidence", fingerprint(tenant, home, group))


def _home(state: str, context: Sequence[str]) -> str:
    """Where a rule's evidence is: what it read before a reload gave it other fields is elsewhere."""
    return " ".join((state, *context))


def _packed(events: Sequence[Event], readers: Sequence[Reader]) -> bytes:
    newest = sorted(events, key=lambda event: event.time_ms)[-MOST_EVENTS:]
    lines = (_line(event, readers) for event in newest)
    return msgspec.msgpack.encode(
        [(at_ms, _short(id_), *(v or "" for v in values)) for at_ms, id_, values in lines]
    )


def _line(event: Event, readers: Sequence[Reader]) -> _Line:
    texts = (as_text(reader(event)) for reader in readers)
    values = tuple(None if text is None else text[:VALUE_CHARACTERS] for text in texts)
    return _Line(event.time_ms, event.id, values)


def _short(id_: str) -> str:
    """An id in few characters: Auth0's are 56 digits, and half of the room would go to them."""
    if not (id_.isascii() and id_.isdigit()) or id_.startswith("0"):
        return _TEXT + id_
    number = int(id_)
    return _NUMBER + b85encode(number.to_bytes((number.bit_length() + 7) // 8)).decode()


def _long(short: str) -> str:
    """The id that `_short` shortened."""
    rest = short[1:]
    return rest if short.startswith(_TEXT) else str(int.from_bytes(b85decode(rest)))
