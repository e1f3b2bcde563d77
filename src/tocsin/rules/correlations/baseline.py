"""What is usual of a bucket: the baselines of `spike`. Pure; numbers do not depend on arrival.

`same_hour_of_week`: the median of the same buckets of past weeks, and as spread their median absolute
deviation, made comparable to a standard deviation (Rousseeuw and Croux, "Alternatives to the Median
Absolute Deviation", JASA 1993). `ewma`: exponentially weighted mean and variance (Finch, "Incremental
calculation of weighted mean and variance", 2009, section 9), of equal weights while they are few.

Counts of independent events vary by their square root, so no spread is taken to be smaller.
"""

from __future__ import annotations

import math
from statistics import median
from struct import Struct
from typing import NamedTuple, Protocol

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_NEVER = -(1 << 62)
_WEIGHTED = Struct("<3q2d")


class Usual(NamedTuple):
    """What a bucket is expected to count, give or take `spread`; from so many buckets."""

    center: float
    spread: float
    buckets: int

    @property
    def least_spread(self) -> float:
        """The spread, but never less than that of mere chance."""
        return max(self.spread, math.sqrt(max(self.center, 1.0)))


class Baseline(Protocol):
    """What was usual, behind some bucket. Buckets are numbered from the epoch."""

    @property
    def newest(self) -> int:
        """The newest bucket that was added; nothing is added behind it."""

    def usual(self, bucket: int) -> Usual:
        """What is usual of a bucket after the newest."""

    def add(self, bucket: int, count: int, *, apart: bool) -> None:
        """A bucket has closed; `apart`: it was no usual one. Those between counted nothing."""

    def copy(self) -> Baseline:
        """Another one that knows the same."""

    def dump(self) -> bytes:
        """All of it."""


class Weekly:
    """The closed buckets of `history` buckets, of which a week has `week`."""

    _HEAD = Struct("<2q")  # begin, newest
    _ROW = Struct("<2q")  # bucket, count; one that was no usual one as -1 - count

    def __init__(self, history: int, week: int, dumped: bytes = b"") -> None:
        self._history, self._week = history, week
        head: tuple[int, int] = self._HEAD.unpack_from(dumped) if dumped else (_NEVER, _NEVER)
        self._begin, self._newest = head
        self._counts: dict[int, int] = dict(self._ROW.iter_unpack(dumped[self._HEAD.size :]))

    @property
    def newest(self) -> int:
        """See `Baseline.newest`."""
        return self._newest

    def usual(self, bucket: int) -> Usual:
        """See `Baseline.usual`."""
        if bucket - self._newest > self._history:
            return Usual(0.0, 0.0, 0)
        oldest = max(self._begin, bucket - self._history)
        past = [self._counts.get(at, 0) for at in range(bucket - self._week, oldest - 1, -self._week)]
        counts = [count for count in past if count >= 0]
        if not counts:
            return Usual(0.0, 0.0, 0)
        center = float(median(counts))
        deviation = float(median([abs(count - center) for count in counts]))
        return Usual(center, _MAD_TO_SIGMA * deviation, len(counts))

    def add(self, bucket: int, count: int, *, apart: bool) -> None:
        """See `Baseline.add`."""
        if bucket - self._newest > self._history:
            self._begin, self._counts = bucket, {}
        self._newest = bucket
        self._counts[bucket] = -1 - count if apart else count
        for old in list(self._counts):  # they were added in order
            if old > bucket - self._history:
                break
            del self._counts[old]

    def copy(self) -> Weekly:
        """See `Baseline.copy`."""
        made = Weekly(self._history, self._week)
        made._begin, made._newest, made._counts = self._begin, self._newest, dict(self._counts)
        return made

    def dump(self) -> bytes:
        """See `Baseline.dump`."""
        rows = [self._ROW.pack(bucket, count) for bucket, count in self._counts.items()]
        return b"".join((self._HEAD.pack(self._begin, self._newest), *rows))


class Ewma:
    """Mean and variance, in which a bucket weighs less the older it is: alpha = 2 / (history + 1)."""

    def __init__(self, history: int, dumped: bytes = b"") -> None:
        self._history = history
        self._held = _Weighted(*_WEIGHTED.unpack(dumped)) if dumped else _Weighted()

    @property
    def newest(self) -> int:
        """See `Baseline.newest`."""
        return self._held.newest

    def usual(self, bucket: int) -> Usual:
        """See `Baseline.usual`."""
        held = self._held.passed_to(bucket, self._history)
        return Usual(held.mean, math.sqrt(held.variance), held.buckets)

    def add(self, bucket: int, count: int, *, apart: bool) -> None:
        """See `Baseline.add`."""
        held = self._held.passed_to(bucket, self._history)
        self._held = (held if apart else held.with_one(bucket, count, self._history))._replace(newest=bucket)

    def copy(self) -> Ewma:
        """See `Baseline.copy`."""
        made = Ewma(self._history)
        made._held = self._held
        return made

    def dump(self) -> bytes:
        """See `Baseline.dump`."""
        return _WEIGHTED.pack(*self._held)


class _Weighted(NamedTuple):
    """Mean and variance of so many buckets; `learned` is the newest of them."""

    newest: int = _NEVER
    learned: int = _NEVER
    buckets: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def passed_to(self, bucket: int, history: int) -> _Weighted:
        """With the empty buckets before this one; anew, where all that is known is too old."""
        if bucket - self.newest > history:
            return _Weighted()
        held = self.with_empty(bucket - self.newest - 1, history) if bucket > self.newest + 1 else self
        return held if bucket - held.learned <= history else _Weighted()

    def with_empty(self, count: int, history: int) -> _Weighted:
        """With so many empty buckets after the newest: as `with_one` of 0 so often, but in one step.

        Each takes the same part of the mean and of the mean of the squares.
        """
        equal = max(0, min(count, (history + 1) // 2 - self.buckets))  # of these alpha is 1 / buckets
        left = (1 - 2 / (history + 1)) ** (count - equal)
        if equal:
            left *= self.buckets / (self.buckets + equal)
        variance = left * (self.variance + self.mean**2 * (1 - left))
        return _Weighted(self.newest, self.newest + count, self.buckets + count, self.mean * left, variance)

    def with_one(self, bucket: int, count: int, history: int) -> _Weighted:
        """With one bucket more."""
        if not self.buckets:
            return _Weighted(self.newest, bucket, 1, float(count))
        buckets = self.buckets + 1
        alpha = max(2 / (history + 1), 1 / buckets)
        difference = count - self.mean
        step = alpha * difference
        variance = (1 - alpha) * (self.variance + difference * step)
        return _Weighted(self.newest, bucket, buckets, self.mean + step, variance)
