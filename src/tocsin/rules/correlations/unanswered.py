"""The ledger of `absence` with `after`: what nothing followed within the span."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from struct import Struct

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members

AFTER, WITHOUT = 1, 2  # bits of an instant's value: what asks, and what answers
_HEAD = Struct("<q")  # floor_until
_SLACK = 8  # when there are too many, one in so many goes: else every batch would move all


def unanswered(span_ms: int) -> LedgerKind:
    """Opens ledgers of this span."""

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return Unanswered(span_ms, dumped, keep)

    return opened


class Unanswered:
    """What asked and what answered, by the instant, inside the span."""

    def __init__(self, span_ms: int, dumped: bytes | None, keep: int | None) -> None:
        self._span_ms, self._keep = span_ms, keep
        self._decided_ms = NEVER_MS
        self._floor_until = _HEAD.unpack_from(dumped)[0] if dumped else NEVER_MS
        self._members = Members(dumped[_HEAD.size :] if dumped else b"")
        self._waiting = self._ends()

    @property
    def deadline(self) -> int | None:
        """When the first of what is not answered has waited long enough."""
        return next((end_ms for end_ms in self._waiting if end_ms >= self._decided_ms), None)

    @property
    def lasts_until(self) -> int:
        """A span after the newest."""
        return self._members.time(-1) + self._span_ms if len(self._members) else NEVER_MS

    @property
    def size(self) -> int:
        """How many instants; 1 while none waits, more than one while one does: its evidence is kept."""
        return max(2, len(self._members)) if self._waiting else min(1, len(self._members))

    @property
    def floor_until(self) -> int:
        """See `Ledger.floor_until`."""
        return self._floor_until

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        self._members.add(Seen(time_ms, 0, bits) for time_ms, _, bits in batch)
        for time_ms, _, bits in batch:
            self._take(time_ms, bits)
        late = {seen.time_ms + self._span_ms for seen in batch}
        scored = [(end_ms, 1.0) for end_ms in self._until(committed_ms) if end_ms in late]
        self._let_go(committed_ms)
        return scored

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        scored = [(end_ms, 1.0) for end_ms in self._until(watermark_ms) if end_ms >= committed_ms]
        self._let_go(committed_ms)
        return scored

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        return _HEAD.pack(self._floor_until) + self._members.dump()

    def _ends(self) -> list[int]:
        """The ends of the spans in which nothing answered, ascending."""
        ends: list[int] = []
        answered_ms: int | None = None  # the next answer, looking back
        for time_ms, bits in zip(
            reversed(self._members.times()), reversed(self._members.values()), strict=True
        ):
            end_ms = time_ms + self._span_ms
            if bits & AFTER and (answered_ms is None or answered_ms > end_ms):
                ends.append(end_ms)
            if bits & WITHOUT:
                answered_ms = time_ms
        return ends[::-1]

    def _until(self, time_ms: int) -> list[int]:
        """What waits no longer than until then."""
        return self._waiting[: bisect_left(self._waiting, time_ms)]

    def _take(self, time_ms: int, bits: int) -> None:
        """A member that is known by now: what it answers waits no more, and what it asks waits if it must."""
        waiting, end_ms = self._waiting, time_ms + self._span_ms
        if bits & WITHOUT:
            del waiting[bisect_left(waiting, time_ms) : bisect_left(waiting, end_ms)]
        place = bisect_left(waiting, end_ms)
        if bits & AFTER and waiting[place : place + 1] != [end_ms] and not self._is_answered(time_ms):
            waiting.insert(place, end_ms)

    def _is_answered(self, time_ms: int) -> bool:
        members = self._members
        after = members.first_at(time_ms + self._span_ms + 1)
        return members.first_of(WITHOUT.__and__, members.first_at(time_ms + 1), after) < after

    def _let_go(self, committed_ms: int) -> None:
        """What is decided and committed; and the oldest of too many."""
        members = self._members
        self._decided_ms = committed_ms
        count = members.first_at(committed_ms - self._span_ms)
        if self._keep is not None and len(members) - count > self._keep:
            count = len(members) - self._keep + self._keep // _SLACK
            self._floor_until = max(self._floor_until, members.time(count - 1) + self._span_ms + 1)
        if count:
            oldest_ms = members.time(count) if count < len(members) else members.time(-1) + 1
            members.drop(count)
            del self._waiting[: bisect_left(self._waiting, oldest_ms + self._span_ms)]
