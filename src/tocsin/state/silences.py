"""Silences, in memory and on Redis."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from threading import Lock

import msgspec
from redis.client import Pipeline

from tocsin.model.silence import Silence
from tocsin.state.connection import Store

_decode = msgspec.json.Decoder(Silence).decode


class MemorySilences:
    """`Silences` in a dict."""

    def __init__(self) -> None:
        self._silences: dict[str, Silence] = {}
        self._lock = Lock()

    def add(self, silence: Silence) -> None:
        with self._lock:
            self._silences[silence.id] = silence

    def expire(self, silence_id: str, now: datetime) -> bool:
        with self._lock:
            silence = self._silences.get(silence_id)
            if silence is not None:
                self._silences[silence_id] = _ended(silence, now)
            return silence is not None

    def forget(self, before: datetime) -> int:
        """Delete those that ended before; how many."""
        with self._lock:
            old = [id_ for id_, silence in self._silences.items() if silence.ends_at < before]
            for id_ in old:
                del self._silences[id_]
            return len(old)

    def list(self) -> builtins.list[Silence]:
        with self._lock:
            return _soonest_first(self._silences.values())


class RedisSilences:
    """`Silences` in one hash, by id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.key("silences")

    def add(self, silence: Silence) -> None:
        with self._store.reaching():
            self._store.client.hset(self._key, silence.id, msgspec.json.encode(silence))

    def expire(self, silence_id: str, now: datetime) -> bool:
        def end(pipe: Pipeline) -> None:
            raw = pipe.hget(self._key, silence_id)
            pipe.multi()
            if raw is not None:
                pipe.hset(self._key, silence_id, msgspec.json.encode(_ended(_decode(raw), now)))

        # Watched, so that a silence replaced meanwhile is read again, not overwritten.
        with self._store.reaching():
            return bool(self._store.client.transaction(end, self._key))

    def forget(self, before: datetime) -> int:
        """Delete those that ended before; how many."""
        old = [silence.id for silence in self.list() if silence.ends_at < before]
        with self._store.reaching():
            return self._store.client.hdel(self._key, *old) if old else 0

    def list(self) -> builtins.list[Silence]:
        with self._store.reaching():
            found = self._store.client.hvals(self._key)
        return _soonest_first(_decode(raw) for raw in found)


def _ended(silence: Silence, now: datetime) -> Silence:
    return silence if silence.ends_at <= now else msgspec.structs.replace(silence, ends_at=now)


def _soonest_first(silences: Iterable[Silence]) -> list[Silence]:
    return sorted(silences, key=lambda silence: (silence.ends_at, silence.id))
