"""The ledger of a `sequence`: the events of its steps, and how many of the first come before the rest.

A chain is looked for backwards from an event of the last step: each step begins as late as it can,
so that as much as possible is left to the first. All in one walk over the window, however many ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Law, Sliding

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
        if not all(map(STEP.__and__, members.values())):
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
            committed = members.values(0, count)
            opened = (place for place, value in enumerate(committed) if not value & STEP)
            members.drop(next(opened, count))
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


def _scores(
    members: Members, span_ms: int, from_ms: int, until_ms: int, steps: Sequence[Step]
) -> Iterator[Scored]:
    """The scores of the instants of the last step in `[from_ms, until_ms)`, where the rest holds."""
    first, after = members.first_at(from_ms), members.first_at(until_ms)
    left = members.first_at(members.time(first) - span_ms)
    if all(map(STEP.__and__, members.values(left, after))):
        return  # nothing of the first step
    times: dict[int, list[int]] = defaultdict(list)
    values: dict[int, list[int]] = defaultdict(list)
    for time_ms, value in zip(members.times(left, after), members.values(left, after), strict=True):
        times[value & STEP].append(time_ms)
        values[value & STEP].append(value)
    opening, *rest = [
        _Moving(times[place], values[place], distinct=bool(step.distinct)) for place, step in enumerate(steps)
    ]
    backwards = [*zip(rest, [step.at_least for step in steps[1:]], strict=True)][::-1]
    for now in dict.fromkeys(times[len(steps) - 1]):
        start = _rest_start(backwards, now) if now >= from_ms else None
        if start is not None and (score := opening.count(now - span_ms, start)):
            yield now, float(score)


def _rest_start(backwards: Sequence[tuple[_Moving, int]], now_ms: int) -> int | None:
    """When all steps but the first begin, at the latest, to end now; None where they do not."""
    before: int | None = now_ms + 1
    for moving, at_least in backwards:
        before = moving.latest_start(before, at_least) if before is not None else None
    return before


class _Moving:
    """The events of one step, by time, asked about stretches that only ever move on."""

    def __init__(self, times: Sequence[int], values: Sequence[int], *, distinct: bool) -> None:
        self._times, self._values, self._distinct = times, values, distinct
        self._head = self._tail = 0
        self._inside: dict[int, int] = {}  # value -> its events from tail to head

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
