"""The distinct values of one group in memory.

A value seen at `s`, and next at `n`, counts in the windows that end in `[s, n)`, and its newest
sighting in all later ones: so the distinct count of the window ending at `w` is the number of
sightings with `w - span <= s <= w < n`, and a late sighting splits an interval. In order, that is
one look into the sorted newest times.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from tocsin.state.members import SATURATED

FEW = 32  # values up to which a look through all of them is quick, and a dict costs more than they do
Superseded = tuple[int, int, int]  # (n, s, value): seen at s, again at n


class Distinct:
    """The values of one group: each one's newest time, and what late windows still need."""

    __slots__ = ("floor_until", "newest", "superseded", "times", "values")

    def __init__(self) -> None:
        self.times: array[int] = array("q")  # the newest time of each value, sorted
        self.values: array[int] = array("q")  # the values, in the same places
        self.newest: dict[int, int] | None = None  # value -> its newest time, once there are many
        self.superseded: list[Superseded] = []  # sorted
        self.floor_until: int | None = None  # windows that end before it may have lost values

    def put(self, value: int, time_ms: int) -> None:
        """Note the newest time of a value that is not there."""
        place = bisect_right(self.times, time_ms)
        self.times.insert(place, time_ms)
        self.values.insert(place, value)
        if self.newest is not None:
            self.newest[value] = time_ms
        elif len(self.times) > FEW:
            self.newest = dict(zip(self.values, self.times, strict=True))

    def _take(self, value: int, time_ms: int) -> None:
        """Take a value and its newest time out; it is put back with another."""
        place = self.values.index(value, bisect_left(self.times, time_ms))
        del self.times[place], self.values[place]

    def _newest_of(self, value: int) -> int | None:
        if self.newest is not None:
            return self.newest.get(value)
        return self.times[self.values.index(value)] if value in self.values else None

    def observe(
        self, batch: Sequence[tuple[int, str]], span_ms: int, floor: int, committed_ms: int
    ) -> list[tuple[int, int]]:
        """Add a batch, sorted by time; the windows it may have changed."""
        if not self.times or batch[0][0] > self.times[-1]:
            return self._observe_in_order(batch, span_ms, floor, committed_ms)
        for time_ms, member in batch:
            self._insert(time_ms, hash(member), committed_ms)
        return self._changed(batch, span_ms, floor)

    def _observe_in_order(
        self, batch: Sequence[tuple[int, str]], span_ms: int, floor: int, committed_ms: int
    ) -> list[tuple[int, int]]:
        windows: list[tuple[int, int]] = []
        times, values = self.times, self.values
        last = len(batch) - 1
        for place, (time_ms, member) in enumerate(batch):
            value = hash(member)
            before = self._newest_of(value) if self.newest is None else self.newest.get(value)
            if before != time_ms:
                if before is not None:
                    self._take(value, before)
                    if time_ms > committed_ms:
                        self.superseded.append((time_ms, before, value))
                if self.newest is None:
                    self.put(value, time_ms)
                else:  # What `put` does, where nothing is newer.
                    times.append(time_ms)
                    values.append(value)
                    self.newest[value] = time_ms
            if place == last or batch[place + 1][0] != time_ms:
                count = len(times)
                if count >= floor:
                    count -= bisect_left(times, time_ms - span_ms)
                    if count >= floor:
                        windows.append((time_ms, count))
        if len(self.superseded) > 1:
            self.superseded.sort()  # of one instant they came in any order
        return windows

    def _insert(self, time_ms: int, value: int, committed_ms: int) -> None:
        newest = self._newest_of(value)
        if newest is None:
            # Its newest time may have been let go (a saturated group): what superseded it then stands.
            later = self.superseded[bisect_right(self.superseded, time_ms, key=_until) :]
            newest = max((until for until, _, other in later if other == value), default=None)
            if newest is None:
                self.put(value, time_ms)
                return
        if time_ms == newest:
            return
        if time_ms > newest:
            if self._newest_of(value) is not None:
                self._take(value, newest)
            self.put(value, time_ms)
            self._supersede(time_ms, newest, value, committed_ms)
            return
        self._split(time_ms, value, newest, committed_ms)

    def _split(self, time_ms: int, value: int, newest: int, committed_ms: int) -> None:
        later = self.superseded[bisect_right(self.superseded, time_ms, key=_until) :]
        following = newest
        for entry in later:
            until, since, other = entry
            if other != value:
                continue
            if since == time_ms:
                return
            if since < time_ms:
                self.superseded.remove(entry)
                self._supersede(time_ms, since, value, committed_ms)
                following = until
                break
            following = min(following, since)
        self._supersede(following, time_ms, value, committed_ms)

    def _supersede(self, until: int, since: int, value: int, committed_ms: int) -> None:
        if until > committed_ms:
            insort(self.superseded, (until, since, value))

    def _changed(self, batch: Sequence[tuple[int, str]], span_ms: int, floor: int) -> list[tuple[int, int]]:
        first = batch[0][0]
        open_then = self.superseded[bisect_right(self.superseded, first, key=_until) :]
        ends = set(self.times[bisect_left(self.times, first) :])
        ends.update(since for _, since, _ in open_then if since >= first)
        ends.update(time_ms for time_ms, _ in batch)
        reached = within_reach(sorted(ends), [time_ms for time_ms, _ in batch], span_ms)
        more = [0] * (len(reached) + 1)
        for until, since, _ in open_then:
            more[bisect_left(reached, since)] += 1
            more[bisect_left(reached, min(until, since + span_ms + 1))] -= 1
        windows, extra = [], 0
        for at_ms, step in zip(reached, more, strict=False):
            extra += step
            count = bisect_right(self.times, at_ms) - bisect_left(self.times, at_ms - span_ms) + extra
            if count >= floor:
                windows.append((at_ms, count))
        return windows

    def prune(self, span_ms: int, keep: int | None, committed_ms: int) -> None:
        """Let go of what no window that ends from `committed_ms` on needs, and of what `keep` spares."""
        if self.superseded and self.superseded[0][0] <= committed_ms:
            del self.superseded[: bisect_right(self.superseded, committed_ms, key=_until)]
        size = len(self.times)
        drop = expired = bisect_left(self.times, committed_ms - span_ms)
        if keep is not None:
            reserve = size if size > SATURATED else bisect_left(self.times, committed_ms)
            drop = max(drop, reserve - keep)
        if drop and drop * 2 >= size:
            self._let_go(drop, expired, span_ms)

    def _let_go(self, drop: int, expired: int, span_ms: int) -> None:
        if drop > expired:
            self.floor_until = max(self.times[drop - 1] + span_ms + 1, self.floor_until or 0)
        if self.newest is not None:
            for value in self.values[:drop]:
                del self.newest[value]
        del self.times[:drop], self.values[:drop]


def within_reach(ends: Sequence[int], observed: Sequence[int], span_ms: int) -> list[int]:
    """Those of `ends` that lie in `[s, s + span]` of an observed time `s`; both sorted."""
    reached: list[int] = []
    place, reach = 0, observed[0] - 1
    for end in ends:
        while place < len(observed) and observed[place] <= end:
            reach = observed[place] + span_ms
            place += 1
        if end <= reach:
            reached.append(end)
    return reached


def _until(entry: Superseded) -> int:
    return entry[0]
