"""Ledgers of sliding windows `[t - span, t]` that are judged by all their members.

A type brings the law (`Judge`): the scores of some instants, given the members of all their windows.
Where a higher score can only come of more members it is asked at once; else when the watermark has
passed the instant, because a late event could still change the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import NamedTuple, Protocol

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members

MAX_MEMBERS = 10_000  # of a group; then the oldest go first and the alert says so
KEPT = 64  # members of a window that is kept from call to call; a smaller one is soon walked anew
_SLACK = 8  # when there are too many, one in so many goes: else every batch would move all
_HEAD = Struct("<q")  # floor_until


class Judge(Protocol):
    """Scores of instants. Pure, but for what follows the members."""

    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        """The scored instants in `[from_ms, until_ms)`, ascending; each is the time of a member.

        `members` hold whatever is in the windows that end there. An instant without a score is left
        out.
        """


class Law(NamedTuple):
    """What a sliding type is: its span, its judge, and whether it may be judged at once.

    `ends`: only instants with a member of such a value can have a score (None: any); while none
    comes, nothing is judged. `merge` makes one value of two of one member. `stay`: the places,
    among so many oldest, of those members without which a later instant could have another score;
    where a type knows, the others go as soon as they are committed (None: all stay for a span).
    `least`: a window of fewer members has no score, so a smaller group waits for nothing.
    """

    span_ms: int
    judge: Judge
    at_once: bool
    ends: Callable[[int], bool] | None = None
    merge: Callable[[int, int], int] = lambda one, other: one | other
    stay: Callable[[Members, int], Sequence[int]] | None = None
    least: int = 1


def sliding(law: Law) -> LedgerKind:
    """Opens ledgers of this law."""

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return Sliding(law, dumped, keep)

    return opened


class Sliding:
    """The members of one group inside the span, and what is not judged yet."""

    def __init__(self, law: Law, dumped: bytes | None, keep: int | None) -> None:
        self._law, self._keep = law, keep
        self._floor_until = _HEAD.unpack_from(dumped)[0] if dumped else NEVER_MS
        self._decided_ms = NEVER_MS  # known to be committed, as far as this process was told
        self._members = Members(dumped[_HEAD.size :] if dumped else b"", merge=law.merge)

    @property
    def deadline(self) -> int | None:
        """The first member whose instant the watermark has still to decide."""
        if self._law.at_once or len(self._members) < self._law.least:
            return None
        place = self._members.first_at(self._decided_ms)
        return self._members.time(place) if place < len(self._members) else None

    @property
    def lasts_until(self) -> int:
        """A span after the newest member."""
        return (
            self._members.time(len(self._members) - 1) + self._law.span_ms if len(self._members) else NEVER_MS
        )

    @property
    def size(self) -> int:
        """How many members it holds."""
        return len(self._members)

    @property
    def floor_until(self) -> int:
        """See `Ledger.floor_until`."""
        return self._floor_until

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        self._decided_ms = committed_ms
        self._members.add(batch)
        times = [seen.time_ms for seen in batch]
        until_ms = max(times) + self._law.span_ms + 1
        if not self._law.at_once:
            until_ms = min(until_ms, committed_ms)
        scored = self._judged(min(times), until_ms) + self._hurried(committed_ms)
        self._let_go(committed_ms)
        return scored

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        self._decided_ms = committed_ms
        scored = self._judged(committed_ms, watermark_ms)
        self._let_go(committed_ms)
        return scored

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        return _HEAD.pack(self._floor_until) + self._members.dump()

    def _judged(self, from_ms: int, until_ms: int) -> list[Scored]:
        members, law = self._members, self._law
        if len(members) < law.least:
            return []
        first, after = members.first_at(from_ms), members.first_at(until_ms)
        if first >= after:
            return []
        if law.ends is not None and not any(map(law.ends, members.values(first, after))):
            return []
        return law.judge(members, law.span_ms, from_ms, until_ms)

    def _hurried(self, committed_ms: int) -> list[Scored]:
        """With too many members, the newest instants, judged now if the watermark was to do it.

        In a flood it would come when their windows are gone, and whoever floods would never be told of.
        """
        if not self._too_many() or self._law.at_once or self._keep is None:
            return []
        members, since = self._members, self._keep - self._keep // _SLACK
        return self._judged(max(committed_ms, members.time(since)), members.time(-1) + 1)

    def _too_many(self) -> int:
        """How many of the oldest must go."""
        if self._keep is None or len(self._members) <= self._keep:
            return 0
        return len(self._members) - self._keep + self._keep // _SLACK

    def _let_go(self, committed_ms: int) -> None:
        """What no window still to come can hold, in one go for many; and the oldest of too many."""
        members = self._members
        expired = members.first_at(committed_ms - self._law.span_ms)
        if expired * 2 >= len(members):
            members.drop(expired)
        if self._law.stay is not None:
            self._settle(self._law.stay, committed_ms)
        elif count := self._too_many():
            self._floor_until = max(self._floor_until, members.time(count - 1) + self._law.span_ms + 1)
            members.drop(count)

    def _settle(self, stay: Callable[[Members, int], Sequence[int]], committed_ms: int) -> None:
        """Only what matters stays of the committed members, in one go for many; and of too many others."""
        members = self._members
        count = members.first_at(committed_ms)
        if self._keep is not None and len(members) - count > self._keep:
            count = members.first_at(members.time(len(members) - self._keep + self._keep // _SLACK))
            self._floor_until = max(self._floor_until, members.time(count))
        elif count * 2 < len(members):
            return
        staying = stay(members, count) if count else ()
        if len(staying) < count:
            members.keep_only([*staying, *range(count, len(members))])


class Aggregate(Protocol):
    """What the members of a window come to, as they enter and leave it."""

    def add(self, value: int) -> None:
        """A member enters."""

    def remove(self, value: int) -> None:
        """A member leaves."""

    def score(self) -> float | None:
        """The window's score; None where it has none."""


class Slide(NamedTuple):
    """A judge that slides a window over the members, and asks its aggregate at each instant.

    `new` makes the aggregate of some values. A window of fewer than `least` members has no score.
    `opens`: a window counts from the instant of its first member of such a value on (None: any).
    """

    new: Callable[[Sequence[int]], Aggregate]
    least: int = 1
    opens: Callable[[int], object] | None = None

    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        """See `Judge`."""
        first, after = members.first_at(from_ms), members.first_at(until_ms)
        begin = members.first_at(members.time(first) - span_ms) if first < after else first
        if after - begin < self.least or first >= after:
            return []
        window = members.follower if isinstance(members.follower, Window) else Window(self)
        window.move(members, self.start(members, begin, first), first)
        scored = window.scores(members, span_ms, after)
        members.follower = window if window.head - window.tail >= KEPT else None
        return scored

    def start(self, members: Members, begin: int, head: int) -> int:
        """Where a window starts that has nothing before `begin`, and ends at `head`."""
        if self.opens is None:
            return begin
        opening = members.first_of(self.opens, begin, head)
        return members.first_at(members.time(opening)) if opening < head else head


class Window:
    """The members from `tail` to `head`, and what they come to.

    It follows its members from one judgement to the next. So it costs what enters and leaves it, and
    not what is in it: a hot group has thousands.
    """

    __slots__ = ("_aggregate", "_slide", "head", "tail")

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._aggregate = slide.new(())
        self.tail = self.head = 0

    def scores(self, members: Members, span_ms: int, after: int) -> list[Scored]:
        """Move on instant by instant, up to the place `after`; the score of each."""
        first, aggregate = self.head, self._aggregate
        times, values = members.times(first, after), members.values(first, after)
        scored: list[Scored] = []
        at, size = 0, after - first
        while at < size:
            now = times[at]
            while at < size and times[at] == now:
                aggregate.add(values[at])
                at += 1
            self._leave(members, now - span_ms, first + at)
            self.head = first + at
            if (score := aggregate.score()) is not None:
                scored.append((now, score))
        return scored

    def move(self, members: Members, tail: int, head: int) -> None:
        """Move to these places; where that is further than what is there, look at it anew."""
        if abs(tail - self.tail) + abs(head - self.head) > head - tail:
            self._aggregate = self._slide.new(members.values(tail, head))
        else:
            for first, after in ((self.head, head), (tail, self.tail)):
                for value in members.values(first, after):
                    self._aggregate.add(value)
            for first, after in ((head, self.head), (self.tail, tail)):
                for value in members.values(first, after):
                    self._aggregate.remove(value)
        self.tail, self.head = tail, head

    def back_to(self, members: Members, place: int) -> None:
        """See `Follower`."""
        if place < self.head:
            self.move(members, min(self.tail, place), place)

    def let_go(self, members: Members, count: int) -> None:
        """See `Follower`."""
        self.move(members, max(self.tail, count), max(self.head, count))
        self.tail -= count
        self.head -= count

    def _leave(self, members: Members, from_ms: int, head: int) -> None:
        """What is before this time leaves, and what the window then does not start with."""
        tail = self.tail
        while members.time(tail) < from_ms:
            tail += 1
        if tail > self.tail or tail == self.head:
            tail = self._slide.start(members, tail, head)
            for value in members.values(self.tail, tail):
                self._aggregate.remove(value)
            self.tail = tail
