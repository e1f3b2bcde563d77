"""Positions: how far each source was read. One field a source, so a commit is one command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.protocols import Position
from tocsin.state.connection import Store


class _Committed(msgspec.Struct, frozen=True):
    """What is stored of a source: where it is, and the newest event time of each tenant (ms)."""

    position: Position
    newest_ms: dict[str, int]


_decode = msgspec.json.Decoder(_Committed).decode
_encode = msgspec.json.Encoder().encode


class MemoryPositions:
    """Positions of one process, gone with it."""

    def __init__(self) -> None:
        self._committed: dict[str, _Committed] = {}

    def load(self, source: str) -> tuple[Position | None, dict[str, int]]:
        found = self._committed.get(source)
        return (None, {}) if found is None else (found.position, dict(found.newest_ms))

    def commit(self, source: str, position: Position, newest_ms: Mapping[str, int]) -> None:
        self._committed[source] = _Committed(position, dict(newest_ms))


class RedisPositions:
    """Positions on a server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.key("positions")

    def load(self, source: str) -> tuple[Position | None, dict[str, int]]:
        with self._store.reaching():
            found: Any = self._store.client.hget(self._key, source)
        if found is None:
            return None, {}
        committed = _decode(found)
        return committed.position, committed.newest_ms

    def commit(self, source: str, position: Position, newest_ms: Mapping[str, int]) -> None:
        with self._store.reaching():
            self._store.client.hset(self._key, source, _encode(_Committed(position, dict(newest_ms))))
