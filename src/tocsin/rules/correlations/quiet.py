"""The ledger of `absence` without `after`: how long a group has been quiet.

An event with another one within the span on both sides never matters, so that of a busy group but a
few times are held, whatever its traffic.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from tocsin.model.alert import NEVER_MS
from tocsin.model.ledger import BEGINS, Ledger, LedgerKind, Scored, Seen

_FOREVER_MS = 1 << 61


class QuietLaw(NamedTuple):
    """A group is quiet a span after an event, and again every `step_ms`, until `longest_ms` after it.

    `begins`: a group of which nothing was seen is quiet since the watch over it began, and none is
    ever forgotten. Nobody said when: it began when it was first asked about.
    """

    span_ms: int
    step_ms: int
    longest_ms: int
    begins: bool


def quiet(law: QuietLaw) -> LedgerKind:
    """Opens ledgers of this law; they need no bound."""

    def opened(dumped: bytes | None, _keep: int | None) -> Ledger:
        return Quiet(law, dumped)

    return opened


class Quiet:
    """The newest committed event of a group, and what matters of the later ones."""

    floor_until = NEVER_MS

    def __init__(self, law: QuietLaw, dumped: bytes | None) -> None:
        self._law = law
        self._decided_ms = NEVER_MS
        times = array("q", dumped or b"")
        if sys.byteorder == "big":
            times.byteswap()
        self._times = times.tolist()
        # No later than the first of the times; None: nobody is waited for.
        self._begun_ms = self._times.pop(0) if law.begins and self._times else None

    @property
    def deadline(self) -> int | None:
        """The first instant of quiet that is not committed."""
        return next((at_ms for at_ms, _ in self._instants(self._decided_ms, _FOREVER_MS)), None)

    @property
    def lasts_until(self) -> int:
        """The last instant at which it can be quiet."""
        if self._law.begins:
            return _FOREVER_MS
        return self._times[-1] + self._law.longest_ms if self._times else NEVER_MS

    @property
    def size(self) -> int:
        """More than one, once there is any: the event before a silence is its evidence."""
        return 2 if self._starts() else 0

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        self._decided_ms = committed_ms
        times = {seen.time_ms for seen in batch}
        if self._law.begins:
            begun = {seen.time_ms for seen in batch if seen.value == BEGINS}
            times = {seen.time_ms for seen in batch if seen.value != BEGINS}
            self._begin(min(begun | times), committed_ms)
        self._times = thinned({*self._times, *times}, self._law.span_ms)
        self._commit(committed_ms)
        is_late = bool(self._times) and self._times[0] < committed_ms and self._times[0] in times
        return list(self._instants(self._times[0], committed_ms)) if is_late else []

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """See `Ledger.due`."""
        self._decided_ms = committed_ms
        if self._begun_ms is None and self._law.begins:
            self._begun_ms = watermark_ms
        self._commit(committed_ms)
        return list(self._instants(committed_ms, watermark_ms))

    def dump(self) -> bytes:
        """See `Ledger.dump`."""
        times = array("q", self._times if self._begun_ms is None else [self._begun_ms, *self._times])
        if sys.byteorder == "big":
            times.byteswap()
        return times.tobytes()

    def _begin(self, at_ms: int, committed_ms: int) -> None:
        """The watch begins at the first time said; once committed it is for good."""
        if self._begun_ms is None or committed_ms <= at_ms < self._begun_ms:
            self._begun_ms = at_ms

    def _starts(self) -> list[int]:
        """From when on it can be quiet: the times, and before these the beginning of the watch."""
        if self._begun_ms is None or (self._times and self._times[0] <= self._begun_ms):
            return self._times
        return [self._begun_ms, *self._times]

    def _commit(self, committed_ms: int) -> None:
        """Of what is committed only the newest can still be followed by quiet."""
        del self._times[: max(0, bisect_left(self._times, committed_ms) - 1)]
        if self._begun_ms is not None and self._times and self._times[0] < committed_ms:
            self._begun_ms = self._times[0]

    def _instants(self, from_ms: int, until_ms: int) -> Iterator[Scored]:
        """The instants of quiet in `[from_ms, until_ms)`, and how many spans each has lasted."""
        law = self._law
        for event_ms, next_ms in pairwise(chain(self._starts(), (_FOREVER_MS,))):
            first_ms = event_ms + law.span_ms
            missed = max(0, -((first_ms - from_ms) // law.step_ms))  # of the steps, those before
            last_ms = min(until_ms, next_ms, event_ms + law.longest_ms + 1)
            for at_ms in range(first_ms + missed * law.step_ms, last_ms, law.step_ms):
                yield at_ms, float((at_ms - event_ms) // law.span_ms)


def thinned(times: Iterable[int], span_ms: int) -> list[int]:
    """The times in order, without those whose neighbours are no more than a span apart."""
    kept: list[int] = []
    for time_ms in sorted(times):
        while len(kept) > 1 and time_ms - kept[-2] <= span_ms:
            kept.pop()
        kept.append(time_ms)
    return kept
