"""Ledgers of windows that are judged once, when they close.

A group's first member `u` opens `[u, u + span]`; the next window opens at the first member after
it. The trigger time is the window's end. For conditions that more members could make false again
and that say so themselves: `lt`, `lte`, `eq`, `neq`, ranges, `not`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members

_HEAD = Struct("<qq")  # closed_until, floor_until


class ClosingLaw(NamedTuple):
    """What a closing type is: its span, and the score of a window's values (None: it has none).

    `each_value`: of a window with too many members the first of each value stays in any case.
    """

    span_ms: int
    score: Callable[[Sequence[int]], float | None]
    merge: Callable[[int, int], int] = lambda one, other: one | other
    each_value: bool = False


def closing(law: ClosingLaw) -> LedgerKind:
    """Opens ledgers of this law."""

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return Closing(law, dumped, keep)

    return opened


class Closing:
    """The members of one group that no answered and committed window holds."""

    def __init__(self, law: ClosingLaw, dumped: bytes | None, keep: int | None) -> None:
        self._law, self._keep = law, keep
        head: tuple[int, int] = _HEAD.unpack_from(dumped) if dumped else (NEVER_MS, NEVER_MS)
        self._closed_until, self._floor_until = head
        self._members = Members(dumped[_HEAD.size :] if dumped else b"", merge=law.merge)

    @property
    def deadline(self) -> int | None:
        """When the oldest window ends."""
        return self._members.time(0) + self._law.span_ms if len(self._members) else None

    @property
    def lasts_until(self) -> int:
        """The latest that a window can still end; what is forgotten must not open one again."""
        if not len(self._members):
            return self._closed_until + self._law.span_ms if self._closed_until > NEVER_MS else NEVER_MS
        return self._members.time(-1) + self._law.span_ms

    @property
    def size(self) -> int:
        """How many members it holds."""
        return len(self._members)

    @property
    def floor_until(self) -> int:
        """See `Ledger.floor_until`."""
        return self._floor_until

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:  # noqa: ARG002 - as all ledgers
        """See `Ledger.observe`. A member too late for a window that closed is not taken."""
        self._members.add(seen for seen in batch if seen.time_ms > self._closed_until)
        if self._keep is not None:
            self._keep_first(self._keep)
        return []

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        scored: list[Scored] = []
        forgotten = 0
        for first, after, end in self._windows():
            if end >= watermark_ms:
                break
            if end < committed_ms:
                forgotten, self._closed_until = after, end
            elif (score := self._law.score(self._members.values(first, after))) is not None:
                scored.append((end, score))
        self._members.drop(forgotten)
        return scored

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        return _HEAD.pack(self._closed_until, self._floor_until) + self._members.dump()

    def _windows(self) -> Iterator[tuple[int, int, int]]:
        """(first, one after the last, end) of each window."""
        first, size = 0, len(self._members)
        while first < size:
            end = self._members.time(first) + self._law.span_ms
            after = self._members.first_at(end + 1)
            yield first, after, end
            first = after

    def _keep_first(self, most: int) -> None:
        """Of a window with too many members the first stay: the very first opened it."""
        if len(self._members) <= most:
            return
        kept: list[int] = []
        for first, after, end in self._windows():
            kept += range(first, min(after, first + most))
            if after - first > most:
                if self._law.each_value:
                    kept += self._new_values(first, first + most, after)
                self._floor_until = max(self._floor_until, end + 1)
        if len(kept) < len(self._members):
            self._members.keep_only(kept)

    def _new_values(self, first: int, middle: int, after: int) -> list[int]:
        """The places from `middle` on of values that the window has not had before."""
        known = set(self._members.values(first, middle))
        found: list[int] = []
        for place, value in enumerate(self._members.values(middle, after), middle):
            if value not in known:
                known.add(value)
                found.append(place)
        return found
