"""The members of one group: `[time, member, value, …]`, sorted by time and member, each once.

24 bytes a member, as they are dumped. What is in order is appended; what comes late finds its place
by bisection.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import or_
from typing import Protocol

from tocsin.model.ledger import Seen

WIDTH = 3  # places of the array a member takes

_PORTION = 64  # members that are looked through at a time
Merge = Callable[[int, int], int]


class Follower(Protocol):
    """What is known of the members up to a place; it hears of what makes that untrue, before it happens."""

    def back_to(self, members: Members, place: int) -> None:
        """The members from this place on are about to move, or to change."""

    def let_go(self, members: Members, count: int) -> None:
        """So many of the oldest are about to go."""


class Members:
    """Members in time order; places count in members."""

    __slots__ = ("_flat", "_merge", "follower")

    def __init__(self, dumped: bytes = b"", *, merge: Merge = or_) -> None:
        """`merge` makes one value of two of the same member; it must not care for their order."""
        self._flat = array("q")
        self._flat.frombytes(dumped)
        if sys.byteorder == "big":
            self._flat.byteswap()
        self._merge = merge
        self.follower: Follower | None = None  # of this process; it is not dumped

    def __len__(self) -> int:
        """How many."""
        return len(self._flat) // WIDTH

    def dump(self) -> bytes:
        """All of them, little-endian."""
        if sys.byteorder == "big":
            swapped = array("q", self._flat)
            swapped.byteswap()
            return swapped.tobytes()
        return self._flat.tobytes()

    def add(self, batch: Iterable[Seen]) -> None:
        """Add members; one that is known only has its value merged."""
        flat, ordered = self._flat, sorted(batch)
        if _all_new(flat, ordered):
            flat.extend(chain.from_iterable(ordered))
            return
        for time_ms, member, value in ordered:
            if not flat or flat[-WIDTH] < time_ms:
                flat.extend((time_ms, member, value))
                continue
            place = self._place(time_ms, member)
            at = place * WIDTH
            known = at < len(flat) and flat[at] == time_ms and flat[at + 1] == member
            merged = self._merge(flat[at + 2], value) if known else value
            if known and merged == flat[at + 2]:
                continue
            if self.follower is not None:
                self.follower.back_to(self, place)
            flat[at : at + WIDTH * known] = array("q", (time_ms, member, merged))

    def first_at(self, time_ms: int) -> int:
        """The place of the first member at `time_ms` or later."""
        flat = self._flat
        if not flat or flat[0] >= time_ms:  # what is asked most: all, or none
            return 0
        if flat[-WIDTH] < time_ms:
            return len(flat) // WIDTH
        low, high = 0, len(flat) // WIDTH
        while low < high:
            middle = (low + high) // 2
            if flat[middle * WIDTH] < time_ms:
                low = middle + 1
            else:
                high = middle
        return low

    def time(self, place: int) -> int:
        """The time of one, in milliseconds; places count from the end where they are negative."""
        return self._flat[place * WIDTH]

    def times(self, first: int = 0, after: int | None = None) -> Sequence[int]:
        """The times of some."""
        return self._column(0, first, after)

    def names(self, first: int = 0, after: int | None = None) -> Sequence[int]:
        """What names them, of some."""
        return self._column(1, first, after)

    def values(self, first: int = 0, after: int | None = None) -> Sequence[int]:
        """The values of some."""
        return self._column(2, first, after)

    def first_of(self, fits: Callable[[int], object], first: int, after: int) -> int:
        """The place of the first of some whose value fits (bits are enough); `after` where none does."""
        for start in range(first, after, _PORTION):
            some = self.values(start, min(after, start + _PORTION))
            for place, value in enumerate(some, start):
                if fits(value):
                    return place
        return after

    def drop(self, count: int) -> None:
        """Let the oldest go."""
        if self.follower is not None and count:
            self.follower.let_go(self, count)
        del self._flat[: count * WIDTH]

    def keep_only(self, places: Iterable[int]) -> None:
        """Let all others go."""
        self.follower = None
        kept = array("q")
        for place in places:
            kept.extend(self._flat[place * WIDTH : (place + 1) * WIDTH])
        self._flat = kept

    def _column(self, which: int, first: int, after: int | None) -> Sequence[int]:
        end = len(self._flat) if after is None else after * WIDTH
        return self._flat[first * WIDTH + which : end : WIDTH]

    def _place(self, time_ms: int, member: int) -> int:
        """Where (time, member) is, or belongs."""
        low, high, flat = self.first_at(time_ms), len(self), self._flat
        while low < high:
            middle = (low + high) // 2
            if (flat[middle * WIDTH], flat[middle * WIDTH + 1]) < (time_ms, member):
                low = middle + 1
            else:
                high = middle
        return low


def _all_new(flat: array[int], ordered: Sequence[Seen]) -> bool:
    """Whether these, sorted, are later than all that is known, and none is there twice: the common case."""
    if not ordered or (flat and flat[-WIDTH] >= ordered[0][0]):
        return False
    return len(ordered) == 1 or len({seen[:2] for seen in ordered}) == len(ordered)
