"""Counting in a window, and the bounds that a count is compared with."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Scored

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}

HIGHEST_COUNT = 1_000_000  # a bound above it is a mistake, and keeping as many members one, too


@dataclass(frozen=True, slots=True)
class Bounds:
    """`(operator, number)` pairs, all of which must hold; at least one."""

    pairs: tuple[tuple[str, float], ...]

    def holds(self, score: float) -> bool:
        """Whether the score is within."""
        return all(OPERATORS[name](score, number) for name, number in self.pairs)

    def within(self, windows: Sequence[Scored]) -> list[Scored]:
        """Those of the windows whose score is within; every event may be one."""
        found = list(windows)
        for name, number in self.pairs:
            compare = OPERATORS[name]
            found = [scored for scored in found if compare(scored[1], number)]
        return found

    @property
    def monotone(self) -> bool:
        """Whether a higher score never makes it false, so that it can be told at once."""
        return all(name in ("gte", "gt") for name, _ in self.pairs)

    @property
    def threshold(self) -> float:
        """The number that people call the threshold: the lower one, where there are two."""
        order = list(OPERATORS)
        return min(self.pairs, key=lambda pair: order.index(pair[0]))[1]

    @property
    def floor(self) -> int:
        """The smallest count from which on it holds, at least 1: zero events never fire."""
        if not self.monotone:
            return 1
        each = [math.floor(number) + 1 if name == "gt" else math.ceil(number) for name, number in self.pairs]
        return max(1, *each)

    @property
    def exact_to(self) -> int:
        """The count up to which counting must be exact for the answer to be right."""
        return max(self.floor, *(math.floor(number) + 1 for name, number in self.pairs if name != "gte"), 1)

    @property
    def satisfiable(self) -> bool:
        """Whether any count of at least 1 is within."""
        tried = {1, *(math.floor(number) + step for _, number in self.pairs for step in (-1, 0, 1, 2))}
        return any(self.holds(count) for count in tried if count >= 1)


@dataclass(frozen=True, slots=True)
class Count:
    """A correlation whose score is the count of its window."""

    spec: WindowSpec
    bounds: Bounds

    def holds(self, score: float) -> bool:
        """Whether the count is within the bounds."""
        return self.bounds.holds(score)

    def true(self, windows: Sequence[Scored]) -> list[Scored]:
        """The windows within the bounds: all of them where the floor is what the bounds ask for."""
        if self.bounds.monotone:
            return cast("list[Scored]", windows)  # copying costs
        return self.bounds.within(windows)


def count_in_windows(state: str, span_ms: int, bounds: Bounds, *, counts: str, highest: float) -> Count:
    """A count of `counts`; `highest` is the greatest bound that a severity or a param may ask for."""
    spec = WindowSpec(
        state=state,
        span_ms=span_ms,
        counts=counts,
        keep=max(bounds.exact_to, math.ceil(min(highest, HIGHEST_COUNT))),
        floor=bounds.floor,
        closes=not bounds.monotone,
        shows_one=not bounds.monotone and bounds.holds(1),
    )
    return Count(spec, bounds)
