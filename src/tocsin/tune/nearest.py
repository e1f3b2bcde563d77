"""What came nearest to an alert that was expected and did not open: a witness before the windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tocsin.model.compiled import CompiledRule, Matcher, WindowSpec
from tocsin.model.event import Event
from tocsin.model.fed import split
from tocsin.model.observed import Counted, Observations
from tocsin.protocols import Windows
from tocsin.state.windows_memory import MemoryWindows


class Near(NamedTuple):
    """The score of one window: when it ended, and of which group (folded, in group-by order)."""

    at_ms: int
    score: float
    group: tuple[str, ...]


class Witness:
    """Windows that remember every score of one rule, those below its threshold too."""

    def __init__(self, rule: CompiledRule, inner: Windows | None = None) -> None:
        self._inner: Windows = inner or MemoryWindows()
        spec = rule.correlation.spec if rule.correlation else None
        self._grouped_by = len(rule.rule.group_by)
        self._state = spec.state if spec else ""
        self._floor = (
            spec.floor if spec and spec.ledger is None else -math.inf
        )  # what a ledger says is all told
        self.seen: list[Near] = []

    def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        """As the windows within, which are asked for every count."""
        lowered = [one._replace(spec=self._lowered(one.spec)) for one in seen]
        return self._noted(self._inner.observe(tenant, lowered, committed_ms=committed_ms))

    def due(
        self,
        tenant: str,
        specs: Sequence[WindowSpec],
        *,
        watermark_ms: int,
        committed_ms: int | None = None,
    ) -> list[Counted]:
        """As the windows within."""
        lowered = [self._lowered(spec) for spec in specs]
        return self._noted(
            self._inner.due(tenant, lowered, watermark_ms=watermark_ms, committed_ms=committed_ms)
        )

    def sweep(self, tenant: str, specs: Sequence[WindowSpec], *, committed_ms: int) -> int:
        """As the windows within."""
        return self._inner.sweep(tenant, [self._lowered(spec) for spec in specs], committed_ms=committed_ms)

    def forget(self, tenant: str, specs: Sequence[WindowSpec]) -> None:
        """As the windows within."""
        self._inner.forget(tenant, specs)

    def nearest(
        self, threshold: float | None, group: Mapping[str, str], group_by: Sequence[str]
    ) -> Near | None:
        """The score that came nearest to the threshold, first of its kind.

        Of the group that was expected, if anything was seen of it; None where nothing was seen.
        """
        wanted = tuple(group.get(field, "").casefold() for field in group_by) if group else None
        of_group = [near for near in self.seen if near.group == wanted]
        found = of_group or self.seen
        if not found:
            return None
        aim = threshold if threshold is not None else max(near.score for near in found)
        return min(found, key=lambda near: (abs(near.score - aim), near.at_ms))

    def _lowered(self, spec: WindowSpec) -> WindowSpec:
        return spec._replace(floor=1) if spec.state == self._state else spec

    def _noted(self, counted: Sequence[Counted]) -> list[Counted]:
        """What the engine would have been told, once all of it is noted."""
        told: list[Counted] = []
        for one in counted:
            if one.state != self._state:
                told.append(one)
                continue
            group = split(one.group, self._grouped_by)
            self.seen += [Near(at_ms, score, group) for at_ms, score in one.windows]
            told.append(one._replace(windows=[window for window in one.windows if window[1] >= self._floor]))
        return told


def matching(rule: CompiledRule, events: Sequence[Event]) -> list[Event]:
    """Those of the events that the rule looks for, counted or not."""
    return [event for event in events if any(_matches(matcher, event) for matcher in rule.matchers)]


def _matches(matcher: Matcher, event: Event) -> bool:
    return (
        matcher.product in ("", event.provider)
        and (matcher.codes is None or event.code in matcher.codes)
        and (matcher.matches is None or matcher.matches(event))
    )
