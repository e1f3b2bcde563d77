"""A correlation whose ledger says what a window comes to, and whose bounds say when that is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Scored
from tocsin.rules.correlations.counting import Bounds


@dataclass(frozen=True, slots=True)
class Judged:
    """A correlation whose score is compared with bounds."""

    spec: WindowSpec
    bounds: Bounds

    def holds(self, score: float) -> bool:
        """Whether the score is within the bounds."""
        return self.bounds.holds(score)

    def true(self, windows: Sequence[Scored]) -> list[Scored]:
        """The windows within the bounds."""
        return self.bounds.within(windows)
