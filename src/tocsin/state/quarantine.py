"""Quarantine: the newest thousand records that could not become events, and how many there ever were."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tocsin.clock import from_ms, to_ms
from tocsin.protocols import Quarantined
from tocsin.state.connection import Store

KEPT = 1_000
MAX_RAW = 2_048  # bytes kept of a record: enough to see what is wrong with it
Found = tuple[str, datetime, Quarantined]


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A record as it is stored."""

    source: str
    at_ms: int
    reason: str
    raw: bytes
    line: int


_decode = msgspec.msgpack.Decoder(_Kept).decode
_encode = msgspec.msgpack.Encoder().encode


class MemoryQuarantine:
    """A quarantine of one process, gone with it."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._total = 0

    def put(self, source: str, records: Sequence[Quarantined], now: datetime) -> None:
        self._kept.extend(_as_kept(source, record, now) for record in records)
        self._total += len(records)

    def find(self, limit: int = 100) -> list[Found]:
        return [_as_found(kept) for kept in list(reversed(self._kept))[:limit]]

    def total(self) -> int:
        """How many there ever were."""
        return self._total


class RedisQuarantine:
    """A quarantine on a server: a list, newest first, and a counter."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._list, self._counter = store.key("quarantine"), store.key("quarantined")

    def put(self, source: str, records: Sequence[Quarantined], now: datetime) -> None:
        if not records:
            return
        newest = [_encode(_as_kept(source, record, now)) for record in records[-KEPT:]]
        with self._store.reaching():
            pipeline = self._store.pipeline(transaction=True)
            pipeline.lpush(self._list, *newest)
            pipeline.ltrim(self._list, 0, KEPT - 1)
            pipeline.incrby(self._counter, len(records))
            pipeline.execute()

    def find(self, limit: int = 100) -> list[Found]:
        with self._store.reaching():
            kept: Any = self._store.client.lrange(self._list, 0, limit - 1) if limit > 0 else []
        return [_as_found(_decode(one)) for one in kept]

    def total(self) -> int:
        """How many there ever were."""
        with self._store.reaching():
            found: Any = self._store.client.get(self._counter)
        return int(found or 0)


def _as_kept(source: str, record: Quarantined, now: datetime) -> _Kept:
    # A reason may quote a stranger's text, with characters that no encoding takes.
    reason = record.reason.encode("utf-8", "replace").decode()
    return _Kept(source, to_ms(now), reason, record.raw[:MAX_RAW], record.line)


def _as_found(kept: _Kept) -> Found:
    return kept.source, from_ms(kept.at_ms), Quarantined(kept.reason, kept.raw, kept.line)
