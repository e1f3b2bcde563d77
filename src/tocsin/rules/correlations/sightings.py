"""The ledger of `first_seen`: which values of an entity are known, and since when.

Behind the committed watermark only each value's first and newest time of its latest run are kept,
at most so many values; what is newer is kept one by one, because a late sighting may still change
which was first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Seq
from itertools import groupby
from struct import Struct
from typing import NamedTuple

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.members import Members

_HEAD = Struct("<5q")  # start, last, sightings, floor_until, how many values
_VALUE = Struct("<3q")  # value, first, newest
_UNSEEN = (NEVER_MS, NEVER_MS)


class NewLaw(NamedTuple):
    """How long a value stays known, how long an entity is only learned of, sightings before any is new."""

    remember_ms: int
    learn_ms: int
    min_seen: int


def first_sightings(law: NewLaw) -> LedgerKind:
    """Opens ledgers of this law; `keep` is how many values of an entity they hold."""

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return Sightings(law, dumped, keep)

    return opened


class Sightings:
    """One entity: what is known of it, and its sightings that are not committed yet."""

    def __init__(self, law: NewLaw, dumped: bytes | None, keep: int | None) -> None:
        self._history, used = _history_of(law, dumped or b"", keep)
        self._open = Members(dumped[used:] if dumped else b"")
        self._new = self._foreseen()

    @property
    def deadline(self) -> int | None:
        """The first sighting that is new, as far as can be told now."""
        return self._new[0] if self._new else None

    @property
    def lasts_until(self) -> int:
        """So long after its newest sighting an entity's history begins anew."""
        newest = self._open.time(-1) if len(self._open) else NEVER_MS
        newest = max(newest, self._history.last_ms)
        return newest + self._history.law.remember_ms if newest > NEVER_MS else NEVER_MS

    @property
    def size(self) -> int:
        """How many members; 1 while none of them can become an alert, so that no evidence is kept."""
        held = len(self._history.known) + len(self._open)
        return held if self._new else min(1, held)

    @property
    def floor_until(self) -> int:
        """Until then a value that was let go may seem new; see `Ledger.floor_until`."""
        return self._history.floor_until

    def observe(self, batch: Seq[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        self._open.add(batch)
        late = self._commit(committed_ms, {seen.time_ms for seen in batch if seen.time_ms < committed_ms})
        self._new = self._foreseen()
        return late

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        self._commit(committed_ms, ())
        self._new = [at_ms for at_ms in self._new if at_ms >= committed_ms]
        return [(at_ms, 1.0) for at_ms in self._new if at_ms < watermark_ms]

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        history = self._history
        head = _HEAD.pack(
            history.start_ms, history.last_ms, history.count, history.floor_until, len(history.known)
        )
        known = [_VALUE.pack(value, *run) for value, run in history.known.items()]
        return b"".join((head, *known, self._open.dump()))

    def _commit(self, committed_ms: int, asked: Collection[int]) -> list[Scored]:
        """Let go of the sightings behind `committed_ms`; which of the instants asked for had a new value."""
        count = self._open.first_at(committed_ms)
        found: list[Scored] = []
        if not count:
            return found
        for at_ms, values in _instants(self._open, count):
            if self._history.see(at_ms, values) and at_ms in asked:
                found.append((at_ms, 1.0))
        self._open.drop(count)
        return found

    def _foreseen(self) -> list[int]:
        """The instants with a new value among the sightings that are not committed."""
        if not len(self._open) or self._history.learns(self._open.time(0), self._open.time(-1)):
            return []
        times, values = self._open.times(), self._open.names()
        if all(map(self._history.knows, times, values)):
            return []  # the common case
        draft = self._history.copy()
        return [at_ms for at_ms, some in _instants(self._open, len(times)) if draft.see(at_ms, some)]


class History:
    """What is known of an entity; `known` are the values' runs, the newest last.

    A run is (first, newest) of sightings no further apart than the time a value is remembered.
    """

    __slots__ = ("_keep", "count", "floor_until", "known", "last_ms", "law", "start_ms")

    def __init__(self, law: NewLaw, keep: int | None) -> None:
        self.law, self._keep = law, keep
        self.start_ms = self.last_ms = self.floor_until = NEVER_MS
        self.count = 0
        self.known: dict[int, tuple[int, int]] = {}

    def copy(self) -> History:
        """Another one that knows the same."""
        made = History(self.law, self._keep)
        made.start_ms, made.last_ms, made.floor_until = self.start_ms, self.last_ms, self.floor_until
        made.count, made.known = self.count, dict(self.known)
        return made

    def learns(self, from_ms: int, until_ms: int) -> bool:
        """Whether of sightings in between none can be told, because the entity is still learned of."""
        anew = from_ms - self.last_ms > self.law.remember_ms
        start_ms = from_ms if anew else min(from_ms, self.start_ms)
        return until_ms < start_ms + self.law.learn_ms

    def knows(self, at_ms: int, value: int) -> bool:
        """Whether the value was seen so shortly before that then it is not new, whatever else comes."""
        newest = self.known.get(value, _UNSEEN)[1]
        return newest < at_ms <= newest + self.law.remember_ms

    def see(self, at_ms: int, values: Seq[int]) -> bool:
        """All sightings of an instant, by their values; whether one is new, and may be told."""
        if at_ms < self.last_ms:
            return self._see_late(at_ms, values)
        if at_ms - self.last_ms > self.law.remember_ms:
            self.start_ms, self.count, self.known = at_ms, 0, {}
        is_new = False
        for value in values:
            first, newest = self.known.pop(value, _UNSEEN)
            if at_ms - newest > self.law.remember_ms:
                first = at_ms
            self.known[value] = (first, at_ms)
            is_new |= first == at_ms
        told = is_new and self._is_learned(at_ms)
        self.last_ms = at_ms
        self.count += len(values)
        self._forget(at_ms)
        return told

    def _see_late(self, at_ms: int, values: Seq[int]) -> bool:
        """The same behind the newest instant: what it was like then is known as far as runs tell."""
        if self.start_ms - at_ms > self.law.remember_ms:
            return False  # of a history that is over
        self.start_ms = min(self.start_ms, at_ms)
        is_new = False
        for value in values:
            first, newest = run = self.known.get(value, _UNSEEN)
            if newest < at_ms:
                run = (first if at_ms - newest <= self.law.remember_ms else at_ms, at_ms)
            elif at_ms < first and first - at_ms <= self.law.remember_ms:
                run = (at_ms, newest)
            self.known[value] = run
            is_new |= run[0] == at_ms or at_ms < first
        self.known = dict(sorted(self.known.items(), key=lambda item: item[1][1]))
        told = is_new and self._is_learned(at_ms)
        self.count += len(values)
        self._forget(self.last_ms)
        return told

    def _is_learned(self, at_ms: int) -> bool:
        return at_ms >= self.start_ms + self.law.learn_ms and self.count >= self.law.min_seen

    def _forget(self, at_ms: int) -> None:
        """The values of too long ago, and the oldest of too many."""
        known, remember_ms = self.known, self.law.remember_ms
        while known:
            value = next(iter(known))
            newest = known[value][1]
            if newest >= at_ms - remember_ms:
                if self._keep is None or len(known) <= self._keep:
                    return
                self.floor_until = max(self.floor_until, newest + remember_ms + 1)
            del known[value]


def _history_of(law: NewLaw, dumped: bytes, keep: int | None) -> tuple[History, int]:
    """The history that a dump begins with, and how many bytes it takes."""
    history = History(law, keep)
    if not dumped:
        return history, 0
    start, last, seen, floor_until, count = _HEAD.unpack_from(dumped)
    history.start_ms, history.last_ms, history.count, history.floor_until = start, last, seen, floor_until
    after = _HEAD.size + count * _VALUE.size
    rows = _VALUE.iter_unpack(dumped[_HEAD.size : after])
    history.known = {value: (first, newest) for value, first, newest in rows}
    return history, after


def _instants(members: Members, count: int) -> Iterator[tuple[int, Seq[int]]]:
    """The values of each instant, of the `count` oldest members."""
    both = zip(members.times(0, count), members.names(0, count), strict=True)
    for at_ms, some in groupby(both, key=lambda pair: pair[0]):
        yield at_ms, [value for _, value in some]
