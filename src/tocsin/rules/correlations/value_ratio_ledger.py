"""The ledger of a `value_ratio`: values at instants, each of one kind: `of`, or what that is without.

A window counts from its first member of `of` on. So of what is committed nothing stays that came
before any such member, and of a value's others only the newest need stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Law, Sliding

OF = 1  # the bit of a member's value that says its kind
_MANY = 1_000  # members from which on it is worth looking for those that are of no more use
_NEVER_AGAIN = 1 << 62


def ratios_of_values(span_ms: int, least: int) -> LedgerKind:
    """Opens ledgers of windows of at least so many values."""

    def judge(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return _ratios(members, span_ms, from_ms, until_ms, least)

    law = Law(span_ms, judge, at_once=False, least=least)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _ValueRatios(law, dumped, keep)

    return opened


class _ValueRatios(Sliding):
    """The members of one group, from the first of `of` on."""

    @property
    def lasts_until(self) -> int:
        """Without a member of `of` there is nothing to wait for."""
        members = self._members
        if any(map(OF.__and__, members.values())):
            return super().lasts_until
        return members.time(-1) if len(members) else NEVER_MS

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`. Most groups are a login or two that nobody failed beside."""
        if not len(self._members) and not any(seen.value & OF for seen in batch):
            self._members.add(batch)
            return []
        return super().observe(batch, committed_ms)

    def _let_go(self, committed_ms: int) -> None:
        members = self._members
        if count := members.first_at(committed_ms):
            expired = members.first_at(committed_ms - self._law.span_ms)
            kinds = members.values(expired, count)
            opening = next((at for at, value in enumerate(kinds, expired) if value & OF), count)
            # What is of the same instant as the first counts with it.
            members.drop(members.first_at(members.time(opening)) if opening < count else count)
            if len(members) > _MANY:
                self._forget_repeated(committed_ms)
        super()._let_go(committed_ms)

    def _forget_repeated(self, committed_ms: int) -> None:
        """Who got in again and again is known by the newest time."""
        members = self._members
        count = members.first_at(committed_ms)
        others = {value: at for at, value in enumerate(members.values(0, count)) if not value & OF}
        newest = set(others.values())
        staying = [at for at, value in enumerate(members.values(0, count)) if value & OF or at in newest]
        if len(staying) * 2 < count:
            members.keep_only([*staying, *range(count, len(members))])


class _Values:
    """The values of a window, as members enter and leave; `alone` are those that are `of` alone."""

    def __init__(self, values: Sequence[int]) -> None:
        self._of = Counter(value | OF for value in values if value & OF)
        self._others = Counter(value | OF for value in values if not value & OF)
        self.alone = len(self._of.keys() - self._others.keys())

    def __len__(self) -> int:
        """How many different values."""
        return len(self._others) + self.alone

    def enter(self, value: int) -> None:
        """A member more."""
        key = value | OF
        if value & OF:
            self._of[key] += 1
            self.alone += self._of[key] == 1 and key not in self._others
        else:
            self._others[key] += 1
            self.alone -= self._others[key] == 1 and key in self._of

    def leave(self, value: int) -> None:
        """A member less."""
        key = value | OF
        if value & OF:
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]
                self.alone -= key not in self._others
        else:
            self._others[key] -= 1
            if not self._others[key]:
                del self._others[key]
                self.alone += key in self._of


def _ratios(members: Members, span_ms: int, from_ms: int, until_ms: int, least: int) -> list[Scored]:
    """The ratios of the windows that end at members of `[from_ms, until_ms)` and hold enough values."""
    first, after = members.first_at(from_ms), members.first_at(until_ms)
    left = members.first_at(members.time(first) - span_ms) if first < after else first
    if after - left < least:
        return []
    times, values = members.times(left, after), members.values(left, after)
    openings = _openings(times, values)
    if not openings:
        return []
    at, size, opening = first - left, len(times), 0
    # What is in the first window already is counted at once: a hot group has thousands of it.
    tail = min(at, bisect_left(times, openings[0]))
    window = _Values(values[tail:at])
    scored: list[Scored] = []
    openings.append(_NEVER_AGAIN)
    while at < size:
        now = times[at]
        while at < size and times[at] == now:
            window.enter(values[at])
            at += 1
        while openings[opening] < now - span_ms:
            opening += 1
        while tail < at and times[tail] < openings[opening]:
            window.leave(values[tail])
            tail += 1
        if len(window) >= least:
            scored.append((now, window.alone / len(window)))
    return scored


def _openings(times: Sequence[int], values: Sequence[int]) -> list[int]:
    """The times of `of`: a window counts from the first of them on."""
    return [time_ms for time_ms, value in zip(times, values, strict=True) if value & OF]
