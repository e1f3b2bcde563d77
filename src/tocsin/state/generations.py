"""Groups in memory, by when they were last seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import nsmallest
from typing import Any

LONG_AGO = -(1 << 62)


class Generations(ABC):
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
        ages = [
            (self.age(held), group) for groups in (self.young, self.old) for group, held in groups.items()
        ]
        for _, group in nsmallest(excess, ages):
            self.drop(group)
        return excess

    @abstractmethod
    def age(self, held: Any) -> int:
        """When a group was last seen, compared with others of its rule: the time of its newest member."""

    def drop(self, group: str) -> None:
        """Forget one group."""
        if self.young.pop(group, None) is None:
            self.old.pop(group, None)
