"""Closing windows of one group in memory: tumbling, opened by the group's first member.

`closed_until` is the end of the last window that was answered for good; what lies before it is
gone, and a member that comes too late for it is not taken.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from tocsin.state.members import SATURATED, first_at, insert


class Tumbling:
    """The members of one group, and where its windows begin."""

    __slots__ = ("closed_until", "floor_until", "members")

    def __init__(self) -> None:
        self.members: array[int] = array("q")
        self.closed_until: int | None = None
        self.floor_until: int | None = None

    def observe(self, batch: Sequence[tuple[int, str]]) -> None:
        """Add a batch, sorted by time."""
        closed = self.closed_until
        insert(self.members, batch if closed is None else [item for item in batch if item[0] > closed])

    def deadline(self, span_ms: int) -> int | None:
        """When the open window ends; None when none is open."""
        return self.members[0] + span_ms if self.members else None

    def closing(self, span_ms: int, watermark_ms: int, *, distinct: bool) -> list[tuple[int, int]]:
        """The windows that end before `watermark_ms`: `(end, count)`."""
        return [
            (end, len(set(self.members[2 * first + 1 : 2 * after : 2])) if distinct else after - first)
            for first, after, end in self._windows(span_ms)
            if end < watermark_ms
        ]

    def forget(self, span_ms: int, committed_ms: int) -> None:
        """Let go of the windows that end before `committed_ms`: they were answered and committed."""
        drop = 0
        for _, after, end in self._windows(span_ms):
            if end >= committed_ms:
                break
            drop, self.closed_until = after, end
        del self.members[: 2 * drop]

    def trim(self, span_ms: int, keep: int | None, *, distinct: bool) -> None:
        """Of a saturated group, keep the first `keep` of each window: the first one opens it."""
        if keep is None or len(self.members) <= 2 * SATURATED:
            return
        kept: array[int] = array("q")
        for first, after, end in self._windows(span_ms):
            hashes: set[int] = set()
            for place in range(first, after):
                digest = self.members[2 * place + 1]
                counted = len(hashes) if distinct else place - first
                if counted < keep and not (distinct and digest in hashes):
                    hashes.add(digest)
                    kept.extend((self.members[2 * place], digest))
                else:
                    self.floor_until = end + 1
        self.members = kept

    def _windows(self, span_ms: int) -> Iterator[tuple[int, int, int]]:
        """(first, one after the last, end) of each window; places count in members."""
        first, size = 0, len(self.members) // 2
        while first < size:
            end = self.members[2 * first] + span_ms
            after = first_at(self.members, end + 1, first)
            yield first, after, end
            first = after
