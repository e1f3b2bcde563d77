"""Watermarks: how far event time has come, per tenant. Pure; the wall clock is an argument.

A source's watermark is its newest event time (never later than the wall clock) less its allowed
lateness; a tenant's is the lowest of its sources that were active lately. While everything is quiet
the clock closes what is over, but never makes an event late.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tocsin.clock import MS, to_ms
from tocsin.model.alert import NEVER_MS

ACTIVE_FOR = timedelta(seconds=60)


@dataclass(slots=True)
class _Progress:
    """What one source has shown of one tenant."""

    newest_ms: int
    committed_ms: int  # the newest when its position was last committed
    lateness_ms: int
    active_at: datetime


@dataclass(slots=True)
class Watermarks:
    """All sources' progress; threads may share it.

    `started_at` is when we began to listen: until then nothing was quiet.
    """

    started_at: datetime
    _progress: dict[tuple[str, str], _Progress] = field(default_factory=dict)
    _drained: dict[str, bool] = field(default_factory=dict)
    _read_empty: set[str] = field(default_factory=set)  # sources read to their end since they were opened
    _ahead_ms: int = NEVER_MS  # the newest event time as the records said it, ahead of the clock or not
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restore(self, source: str, newest_ms: Mapping[str, int], lateness: timedelta, now: datetime) -> None:
        """Go on from what was committed; until it proves to be drained, the source may have a backlog.

        What was seen beyond that will be read again, and is not late: so a source that was rewound
        begins anew.
        """
        with self._lock:
            self._drained[source] = False
            self._read_empty.discard(source)
            for known in [key for key in self._progress if key[0] == source and key[1] not in newest_ms]:
                del self._progress[known]
            for tenant, newest in newest_ms.items():
                self._progress[source, tenant] = _Progress(newest, newest, lateness // MS, now)

    def advance(
        self, source: str, tenant: str, times_ms: Iterable[int], lateness: timedelta, now: datetime
    ) -> None:
        """A batch of this source had events of this tenant at these times.

        A time ahead of the clock counts as now: one record with a future date must not make what
        happens at present late.
        """
        said = max(times_ms)
        newest = min(said, to_ms(now))
        with self._lock:
            self._ahead_ms = max(self._ahead_ms, said)
            progress = self._progress.get((source, tenant))
            if progress is None:
                self._progress[source, tenant] = _Progress(newest, NEVER_MS, lateness // MS, now)
            else:
                progress.newest_ms = max(progress.newest_ms, newest)
                progress.active_at = now

    def committed(self, source: str) -> None:
        """The source's position was committed: its newest events will not be read again."""
        with self._lock:
            for (name, _), progress in self._progress.items():
                if name == source:
                    progress.committed_ms = progress.newest_ms

    def drained(self, source: str, *, empty: bool) -> None:
        """Whether the source's last batch was empty: it has nothing more to give now."""
        with self._lock:
            self._drained[source] = empty
            if empty:
                self._read_empty.add(source)

    def newest(self, source: str) -> dict[str, int]:
        """Per tenant the newest event time of a source: what is committed with its position."""
        with self._lock:
            return {tenant: p.newest_ms for (name, tenant), p in self._progress.items() if name == source}

    def newest_of_all(self) -> int:
        """The newest time of any event that was evaluated, be it ahead of the clock; `NEVER_MS`: none was."""
        with self._lock:
            return max([self._ahead_ms, *(progress.newest_ms for progress in self._progress.values())])

    def tenants(self) -> list[str]:
        """Every tenant seen."""
        with self._lock:
            return sorted({tenant for _, tenant in self._progress})

    def of(self, tenant: str, now: datetime) -> int:
        """The tenant's watermark, in milliseconds: behind it windows may be decided."""
        return min([to_ms(now), *(p.newest_ms - p.lateness_ms for p in self._active(tenant, now))])

    def behind(self, tenant: str, now: datetime) -> int:
        """The watermark as it was committed: behind it an event is late, and a store may let go.

        Never ahead of what a batch that is read again after a crash would see.
        """
        active = self._active(tenant, now)
        if not active:
            return NEVER_MS
        return min([to_ms(now), *(p.committed_ms - p.lateness_ms for p in active)])

    def _active(self, tenant: str, now: datetime) -> list[_Progress]:
        with self._lock:
            mine = [(name, p) for (name, other), p in self._progress.items() if other == tenant]
        # A source that has not been read empty since it was opened may be far behind: it counts.
        return [p for name, p in mine if now - p.active_at <= ACTIVE_FOR or name not in self._read_empty] or [
            p for _, p in mine
        ]

    def closing(self, tenant: str, now: datetime) -> int:
        """How far windows and episodes may be closed: the clock's word, once all sources are quiet."""
        watermark = self.of(tenant, now)
        with self._lock:
            mine = {name: p for (name, t), p in self._progress.items() if t == tenant}
        quiet = all(
            self._drained.get(name, False)
            and now - max(p.active_at, self.started_at) > max(ACTIVE_FOR, p.lateness_ms * MS)
            for name, p in mine.items()
        )
        if not mine or not quiet:
            return watermark
        return max(watermark, to_ms(now) - max(p.lateness_ms for p in mine.values()))
