"""The ledger of `spike`: the members of buckets that are not committed, and what was usual before.

A bucket is judged when the watermark has passed its end. Once that is committed, only its count is
kept: what comes later for it is not counted, so that reading a log again never counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct, pack, unpack_from
from typing import NamedTuple

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.baseline import Baseline, Usual

_HEAD = Struct("<3q")  # floor_until, bytes of the baseline, open buckets
_OPEN = Struct("<2q")  # bucket, members
_HALF, _WHOLE = 1 << 63, 1 << 64  # of the numbers that name members


class SpikeLaw(NamedTuple):
    """When a bucket is a spike. `history` and `needed` are in buckets; None: not asked for."""

    bucket_ms: int
    history: int
    needed: int
    min_count: int
    times: float | None
    sigmas: float | None
    baseline: Callable[[bytes], Baseline]

    def score(self, count: int, usual: Usual) -> float | None:
        """How much more than usual: in times where they are asked for, else in spreads.

        None while too little is known, or where what else is asked for is not met.
        """
        if usual.buckets < self.needed or count < self.min_count:
            return None
        sigmas = (count - usual.center) / usual.least_spread
        if self.times is None:
            return sigmas
        enough = self.sigmas is None or sigmas >= self.sigmas
        return count / max(usual.center, 1.0) if enough else None

    def is_spike(self, score: float | None) -> bool:
        """Whether a bucket of this score is no usual one."""
        asked = self.sigmas if self.times is None else self.times
        return score is not None and asked is not None and score >= asked


def bucket_counts(law: SpikeLaw) -> LedgerKind:
    """Opens ledgers of this law; `keep` is how many members of a bucket are counted exactly."""

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return BucketCounts(law, dumped, keep)

    return opened


class BucketCounts:
    """One group: its open buckets, and its baseline behind them."""

    def __init__(self, law: SpikeLaw, dumped: bytes | None, keep: int | None) -> None:
        self._law, self._keep = law, keep
        self._floor_until = NEVER_MS
        self._open: dict[int, set[int]] = {}
        if not dumped:
            self._usual = law.baseline(b"")
            return
        self._floor_until, size, count = _HEAD.unpack_from(dumped)
        at = _HEAD.size + size
        self._usual = law.baseline(dumped[_HEAD.size : at])
        for _ in range(count):
            bucket, members = _OPEN.unpack_from(dumped, at)
            at += _OPEN.size
            self._open[bucket] = set(unpack_from(f"<{members}q", dumped, at))
            at += 8 * members

    @property
    def deadline(self) -> int | None:
        """When the oldest open bucket ends."""
        return self._end(min(self._open)) if self._open else None

    @property
    def lasts_until(self) -> int:
        """So long after its newest bucket a group's history begins anew."""
        newest = max([self._usual.newest, *self._open])
        return self._end(newest + self._law.history) if newest > NEVER_MS else NEVER_MS

    @property
    def size(self) -> int:
        """How many members it holds."""
        return sum(map(len, self._open.values()))

    @property
    def floor_until(self) -> int:
        """Until then a count may be estimated; see `Ledger.floor_until`."""
        return self._floor_until

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        touched = set()
        newest, bucket_ms = self._usual.newest, self._law.bucket_ms
        for time_ms, member, _ in batch:
            bucket = time_ms // bucket_ms
            if bucket > newest:
                self._open.setdefault(bucket, set()).add(member)
                touched.add(bucket)
        self._cap(touched)
        late = {self._end(bucket) for bucket in touched}
        return [scored for scored in self._commit(committed_ms) if scored[0] in late]

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        self._commit(committed_ms)
        return list(self._judged(self._usual.copy(), watermark_ms))

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        usual = self._usual.dump()
        parts = [_HEAD.pack(self._floor_until, len(usual), len(self._open)), usual]
        for bucket, members in sorted(self._open.items()):
            parts += [_OPEN.pack(bucket, len(members)), pack(f"<{len(members)}q", *sorted(members))]
        return b"".join(parts)

    def _end(self, bucket: int) -> int:
        return (bucket + 1) * self._law.bucket_ms

    def _commit(self, committed_ms: int) -> list[Scored]:
        """Of the buckets that ended before, keep the counts only; what they score."""
        scored = list(self._judged(self._usual, committed_ms))
        self._open = {bucket: held for bucket, held in self._open.items() if bucket > self._usual.newest}
        return scored

    def _judged(self, usual: Baseline, until_ms: int) -> Iterator[Scored]:
        """The scores of the open buckets that end before `until_ms`; each is added to the baseline."""
        for bucket in sorted(self._open):
            if self._end(bucket) >= until_ms:
                return
            count = self._count(self._open[bucket])
            score = self._law.score(count, usual.usual(bucket))
            usual.add(bucket, count, apart=self._law.is_spike(score))
            if score is not None:
                yield self._end(bucket), score

    def _count(self, members: set[int]) -> int:
        """How many; of a capped bucket estimated from the part of all names that its own take up.

        The k smallest of evenly spread numbers tell how many there are (Beyer and others, "On synopses
        for distinct-value estimation", SIGMOD 2007), whatever their order and however often they come.
        """
        if self._keep is None or len(members) <= self._keep:
            return len(members)
        return (len(members) - 1) * _WHOLE // (max(members) + _HALF + 1)

    def _cap(self, buckets: set[int]) -> None:
        """Of too many members of a bucket the smallest stay, one more than are counted exactly."""
        if self._keep is None:
            return
        for bucket in buckets:
            if len(self._open[bucket]) > self._keep:
                self._open[bucket] = set(sorted(self._open[bucket])[: self._keep + 1])
                self._floor_until = max(self._floor_until, self._end(bucket) + 1)
