"""The inbox: a Redis stream for each source, from the receiver's door to the detect loop."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

from tocsin.clock import to_ms
from tocsin.errors import StoreUnavailable
from tocsin.protocols import Position
from tocsin.state.connection import Store

FULL = 0.8  # of maxmemory: the rest is for what the accepted events become
_LOOK_EVERY = timedelta(seconds=1)
_BODY, _RECEIVED = b"b", b"r"


class RedisInbox:
    """Both sides of the inbox: `append` for the receiver, `read` and `trim` for the source."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._looked_at: datetime | None = None
        self._full: str | None = None

    def append(self, source: str, body: bytes, now: datetime) -> str:
        if refusal := self._refusal(now):
            raise StoreUnavailable(refusal)
        with self._store.reaching():
            fields: dict[Any, Any] = {_BODY: body, _RECEIVED: to_ms(now)}
            position: Any = self._store.client.xadd(self._key(source), fields)
        return str(position.decode())

    def read(
        self, source: str, after: Position | None, *, block_ms: int, count: int
    ) -> list[tuple[Position, bytes, int]]:
        key = self._key(source)
        with self._store.reaching():
            streams: Any = self._store.client.xread({key: after or "0-0"}, count=count, block=block_ms)
        return [
            (position.decode(), fields[_BODY], int(fields[_RECEIVED]))
            for _, entries in streams or ()
            for position, fields in entries
        ]

    def trim(self, source: str, upto: Position) -> None:
        milliseconds, _, sequence = upto.partition("-")
        oldest_kept = f"{milliseconds}-{int(sequence or 0) + 1}"
        with self._store.reaching():
            self._store.client.xtrim(self._key(source), minid=oldest_kept, approximate=False)

    def _key(self, source: str) -> bytes:
        return self._store.key("inbox", source)

    def _refusal(self, now: datetime) -> str | None:
        """Why nothing more is taken; looked up at most once a second, as INFO costs more than XADD."""
        with self._lock:
            # A clock that was set back must not keep an old answer for long.
            if self._looked_at is not None and abs(now - self._looked_at) < _LOOK_EVERY:
                return self._full
            used, most = self._store.filled()
            self._looked_at = now
            self._full = None
            if most and used > FULL * most:
                self._full = (
                    f"{self._store.shown}: nearly full ({used:,} of {most:,} bytes); "
                    "raise maxmemory, or wait until the backlog is processed"
                )
            return self._full
