"""Groups in memory, by when they were last seen."""

from __future__ import annotations

from array import array
from heapq import nsmallest
from typing import Any

from tocsin.state.distinct import Distinct
from tocsin.state.members import unpack_one
from tocsin.state.tumbling import Tumbling

LONG_AGO = -(1 << 62)


class Generations:
    """Groups by when they were last seen. `newest` is the newest time of any member of the young."""

    def __init__(self) -> None:
        self.young: dict[str, Any] = {}
        self.old: dict[str, Any] = {}
        self.newest = LONG_AGO
        self.old_newest = LONG_AGO

    def turn(self, horizon_ms: int) -> None:
        """Let the old go when all of it is older than `horizon_ms`, and let the young be old."""
        if self.old_newest < horizon_ms and self.newest > LONG_AGO:
            self.old, self.old_newest = self.young, self.newest
            self.young, self.newest = {}, LONG_AGO

    def shrink(self, max_groups: int) -> int:
        """Drop the groups with the oldest newest members, beyond `max_groups`; how many."""
        excess = len(self.young) + len(self.old) - max_groups
        if excess <= 0:
            return 0
        ages = [(_newest(held), group) for groups in (self.young, self.old) for group, held in groups.items()]
        for _, group in nsmallest(excess, ages):
            self.drop(group)
        return excess

    def drop(self, group: str) -> None:
        """Forget one group."""
        if self.young.pop(group, None) is None:
            self.old.pop(group, None)


def _newest(held: Any) -> int:
    """The time of a group's newest member."""
    if isinstance(held, int):
        return unpack_one(held)[0]
    if isinstance(held, Distinct):
        return held.times[-1]
    if isinstance(held, Tumbling):
        return held.members[-2] if held.members else held.closed_until or LONG_AGO
    if isinstance(held, array):
        return int(held[-2])
    return int(held.lasts_until)  # a ledger
