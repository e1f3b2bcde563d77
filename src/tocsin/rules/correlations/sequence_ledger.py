"""The ledger of a `sequence`: the events of its steps, and how many of the first come before the rest.

A chain is looked for backwards from an event of the last step: each step begins as late as it can,
so that as much as possible is left to the first. All in one walk over the window, however many ends.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import KEPT, Law, Sliding

STEP = 15  # the bits of a member's name and value that say which step it is of


@dataclass(frozen=True, slots=True)
class Step:
    """At least so many events; where `distinct` fields are named, so many different values of these.

    Of the first step any number is scored, and the bounds decide.
    """

    at_least: int
    distinct: tuple[str, ...] = ()


def chained(span_ms: int, steps: Sequence[Step]) -> LedgerKind:
    """Opens ledgers of these steps."""
    last = len(steps) - 1

    def judge(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return list(_scores(members, span_ms, from_ms, until_ms, steps))

    law = Law(span_ms, judge, at_once=True, ends=lambda value: value & STEP == last, merge=max)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _Chain(law, dumped, keep, last if steps[last].at_least == 1 else None)

    return opened


class _Chain(Sliding):
    """The events of one group that a chain can still come of.

    Where one event of the last step is enough, a committed one has had its say.
    """

    def __init__(self, law: Law, dumped: bytes | None, keep: int | None, last: int | None) -> None:
        """`last` is the step of which a committed event is of no more use (None: there is none)."""
        super().__init__(law, dumped, keep)
        self._last = last

    @property
    def lasts_until(self) -> int:
        """Without an event of the first step there is nothing to wait for."""
        members = self._members
        if members.first_of(_opens, 0, len(members)) < len(members):
            return super().lasts_until
        return members.time(-1) if len(members) else NEVER_MS

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`. Most groups are a login that nothing came before: no chain is there."""
        if not len(self._members) and all(seen.value & STEP for seen in batch):
            self._members.add(batch)
            return []
        return super().observe(batch, committed_ms)

    def _let_go(self, committed_ms: int) -> None:
        members = self._members
        if count := members.first_at(committed_ms):
            members.drop(members.first_of(_opens, 0, count))
        if self._keep is not None and len(members) > self._keep:
            self._forget_ends(committed_ms)
        super()._let_go(committed_ms)

    def _forget_ends(self, committed_ms: int) -> None:
        """A flood of the last step must not push out the first."""
        members = self._members
        count = members.first_at(committed_ms)
        staying = [
            place for place, value in enumerate(members.values(0, count)) if value & STEP != self._last
        ]
        if len(staying) < count:
            members.keep_only([*staying, *range(count, len(members))])


class _Followed:
    """The events of each step from the place `tail` to `head`; it follows its members from call to call.

    So what an end costs is what came since the last, and not all that is in its window.
    """

    def __init__(self, steps: Sequence[Step], tail: int) -> None:
        self.steps = [_Moving(distinct=bool(step.distinct)) for step in steps]
        self.tail = self.head = tail
        self.asked_ms = NEVER_MS  # the last end that was asked about; from there it only moves on

    def take(self, members: Members, after: int) -> None:
        """The members up to this place."""
        first = self.head
        for time_ms, value in zip(members.times(first, after), members.values(first, after), strict=True):
            self.steps[value & STEP].append(time_ms, value)
        self.head = max(first, after)

    def back_to(self, members: Members, place: int) -> None:
        """See `Follower`. What has moved on cannot be taken back."""
        if place < self.head:
            members.follower = None

    def let_go(self, members: Members, count: int) -> None:
        """See `Follower`."""
        if count >= self.head:
            members.follower = None
            return
        for step, events in Counter(map(STEP.__and__, members.values(self.tail, count))).items():
            self.steps[step].drop(events)
        self.tail, self.head = max(self.tail - count, 0), self.head - count


def _scores(
    members: Members, span_ms: int, from_ms: int, until_ms: int, steps: Sequence[Step]
) -> Iterator[Scored]:
    """The scores of the instants of the last step in `[from_ms, until_ms)`, where the rest holds."""
    first, after = members.first_at(from_ms), members.first_at(until_ms)
    known = members.follower
    if not isinstance(known, _Followed) or known.asked_ms > members.time(first):
        left = members.first_at(members.time(first) - span_ms)
        if members.first_of(_opens, left, after) == after:
            return  # nothing of the first step
        known = _Followed(steps, left)
    known.take(members, after)
    opening, *rest = known.steps
    backwards = [*zip(rest, [step.at_least for step in steps[1:]], strict=True)][::-1]
    for now in dict.fromkeys(rest[-1].between(from_ms, until_ms)):
        known.asked_ms = now
        start = _rest_start(backwards, now)
        if start is not None and (score := opening.count(now - span_ms, start)):
            yield now, float(score)
    members.follower = known if known.head >= KEPT else None


def _opens(value: int) -> bool:
    return not value & STEP


def _rest_start(backwards: Sequence[tuple[_Moving, int]], now_ms: int) -> int | None:
    """When all steps but the first begin, at the latest, to end now; None where they do not."""
    before: int | None = now_ms + 1
    for moving, at_least in backwards:
        before = moving.latest_start(before, at_least) if before is not None else None
    return before


class _Moving:
    """The events of one step, by time, asked about stretches that only ever move on."""

    def __init__(self, *, distinct: bool) -> None:
        self._times, self._values, self._distinct = array("q"), array("q"), distinct
        self._head = self._tail = 0
        self._inside: dict[int, int] = {}  # value -> its events from tail to head

    def append(self, time_ms: int, value: int) -> None:
        """One more, not earlier than those that are known."""
        self._times.append(time_ms)
        if self._distinct:
            self._values.append(value)

    def drop(self, count: int) -> None:
        """So many of the oldest go."""
        while self._tail < min(count, self._head):
            self._let_go()
        del self._times[:count], self._values[:count]
        self._tail, self._head = max(self._tail - count, 0), max(self._head - count, 0)

    def between(self, from_ms: int, until_ms: int) -> Sequence[int]:
        """The times in `[from_ms, until_ms)`."""
        return self._times[bisect_left(self._times, from_ms) : bisect_left(self._times, until_ms)]

    def latest_start(self, before_ms: int, at_least: int) -> int | None:
        """The latest time from which on, and before `before_ms`, are so many; None: there never are."""
        if not self._distinct:
            place = bisect_left(self._times, before_ms) - at_least
            return self._times[place] if place >= 0 else None
        self._take_until(before_ms)
        while self._tail < self._head and len(self._inside) - self._is_last_of_its_value() >= at_least:
            self._let_go()
        return self._times[self._tail] if len(self._inside) >= at_least else None

    def count(self, from_ms: int, before_ms: int) -> int:
        """How many there are from `from_ms` on, and before `before_ms`."""
        if not self._distinct:
            return max(0, bisect_left(self._times, before_ms) - bisect_left(self._times, from_ms))
        self._take_until(before_ms)
        while self._tail < self._head and self._times[self._tail] < from_ms:
            self._let_go()
        return len(self._inside)

    def _take_until(self, before_ms: int) -> None:
        while self._head < len(self._times) and self._times[self._head] < before_ms:
            value = self._values[self._head]
            self._inside[value] = self._inside.get(value, 0) + 1
            self._head += 1

    def _let_go(self) -> None:
        value = self._values[self._tail]
        if self._is_last_of_its_value():
            del self._inside[value]
        else:
            self._inside[value] -= 1
        self._tail += 1

    def _is_last_of_its_value(self) -> bool:
        return self._inside[self._values[self._tail]] == 1
