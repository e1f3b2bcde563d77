"""The ledger of a `value_ratio`: values at instants, each of one kind: `of`, or what that is without.

A window counts from its first member of `of` on. So of what is committed nothing stays that came
before any such member, and of a value's others only the newest need stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.sliding import Law, Slide, Sliding

OF = 1  # the bit of a member's value that says its kind
_MANY = 1_000  # members from which on it is worth looking for those that are of no more use
_NEW = 8  # it looks again when one in so many is new


def ratios_of_values(span_ms: int, least: int) -> LedgerKind:
    """Opens ledgers of windows of at least so many values."""
    judge = Slide(lambda values: _Values(least, values), least, opens=OF.__and__)
    law = Law(span_ms, judge, at_once=False)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _ValueRatios(law, dumped, keep)

    return opened


class _ValueRatios(Sliding):
    """The members of one group, from the first of `of` on."""

    _looked = 0  # how many it held when it last looked for those that are of no more use

    @property
    def lasts_until(self) -> int:
        """Without a member of `of` there is nothing to wait for."""
        members = self._members
        if members.first_of(OF.__and__, 0, len(members)) < len(members):
            return super().lasts_until
        return members.time(-1) if len(members) else NEVER_MS

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`. Most groups are a login or two that nobody failed beside."""
        if not len(self._members) and not any(seen.value & OF for seen in batch):
            self._members.add(batch)
            return []
        return super().observe(batch, committed_ms)

    def _has_part(self) -> bool:
        return any(map(OF.__and__, self._members.values()))

    def _let_go(self, committed_ms: int) -> None:
        members = self._members
        if count := members.first_at(committed_ms):
            expired = members.first_at(committed_ms - self._law.span_ms)
            opening = members.first_of(OF.__and__, expired, count)
            # What is of the same instant as the first counts with it.
            members.drop(members.first_at(members.time(opening)) if opening < count else count)
            # Again only when so many are new: else every event would cost a walk over all.
            self._looked = min(self._looked, len(members))
            if len(members) > max(_MANY, self._looked + self._looked // _NEW) or self._too_many():
                self._forget_repeated(committed_ms)
                self._looked = len(members)
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

    def __init__(self, least: int, values: Sequence[int]) -> None:
        self._least = least
        self._of = Counter(value | OF for value in values if value & OF)
        self._others = Counter(value | OF for value in values if not value & OF)
        self.alone = len(self._of.keys() - self._others.keys())

    def __len__(self) -> int:
        """How many different values."""
        return len(self._others) + self.alone

    def add(self, value: int) -> None:
        """A member enters."""
        key = value | OF
        if value & OF:
            self._of[key] += 1
            self.alone += self._of[key] == 1 and key not in self._others
        else:
            self._others[key] += 1
            self.alone -= self._others[key] == 1 and key in self._of

    def remove(self, value: int) -> None:
        """A member leaves."""
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

    def score(self) -> float | None:
        """Which part is alone; of too few values none."""
        return self.alone / len(self) if len(self) >= self._least else None
