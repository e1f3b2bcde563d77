"""Ledgers in memory: one a group, as the correlation type made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.model.observed import Counted
from tocsin.state.generations import Generations


class MemoryLedgers:
    """The ledgers of every tenant and rule. Not for several threads at once."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], _Groups] = {}

    def observe(
        self, tenant: str, spec: WindowSpec, groups: Mapping[str, list[Seen]], committed_ms: int
    ) -> Iterator[Counted]:
        """See `Windows.observe`."""
        return self._groups(tenant, spec).observe(spec, groups, committed_ms)

    def due(self, tenant: str, spec: WindowSpec, watermark_ms: int, committed_ms: int) -> Iterator[Counted]:
        """See `Windows.due`."""
        return self._groups(tenant, spec).due(spec, watermark_ms, committed_ms)

    def sweep(self, tenant: str, spec: WindowSpec, committed_ms: int) -> int:
        """See `Windows.sweep`."""
        return self._groups(tenant, spec).sweep(spec, committed_ms)

    def forget(self, tenant: str, state: str) -> None:
        """See `Windows.forget`."""
        self._states.pop((tenant, state), None)

    def _groups(self, tenant: str, spec: WindowSpec) -> _Groups:
        groups = self._states.setdefault((tenant, spec.state), _Groups())
        groups.judge_by(spec)
        return groups


class _Groups(Generations):
    """The ledgers of one rule, and a heap of when they are due (an entry may be out of date)."""

    def __init__(self) -> None:
        super().__init__()
        self._deadlines: list[tuple[int, str]] = []
        self._law: tuple[LedgerKind | None, int | None] = (None, None)

    def judge_by(self, spec: WindowSpec) -> None:
        """Open the ledgers again when the rule's thresholds are others now."""
        law = (spec.ledger, spec.keep)
        if law == self._law:
            return
        self._law = law
        if spec.ledger is not None:
            for groups in (self.young, self.old):
                groups.update({name: spec.ledger(held.dump(), spec.keep) for name, held in groups.items()})
            self._set_deadlines()

    def observe(
        self, spec: WindowSpec, groups: Mapping[str, list[Seen]], committed_ms: int
    ) -> Iterator[Counted]:
        for group, batch in groups.items():
            held = self._ledger(spec, group)
            before = held.deadline
            scored = held.observe(batch, committed_ms)
            self._keep(group, held, before)
            if scored or held.size > 1:
                yield counted(spec, group, held, scored)
        self.turn(committed_ms)

    def due(self, spec: WindowSpec, watermark_ms: int, committed_ms: int) -> Iterator[Counted]:
        reached = {group for group in spec.expected if group not in self.young and group not in self.old}
        while self._deadlines and self._deadlines[0][0] < watermark_ms:
            reached.add(heappop(self._deadlines)[1])
        for group in sorted(reached):
            if group not in self.young and group not in self.old and group not in spec.expected:
                continue
            held = self._ledger(spec, group)
            scored = held.due(watermark_ms, committed_ms)
            self._keep(group, held, None)
            if scored:
                yield counted(spec, group, held, scored)

    def sweep(self, spec: WindowSpec, committed_ms: int) -> int:
        self.turn(committed_ms)
        dropped = self.shrink(spec.max_groups)
        if len(self._deadlines) > 2 * (len(self.young) + len(self.old)) + 64:
            self._set_deadlines()
        return dropped

    def _set_deadlines(self) -> None:
        alive = {**self.old, **self.young}
        self._deadlines = sorted(
            (held.deadline, group) for group, held in alive.items() if held.deadline is not None
        )

    def _ledger(self, spec: WindowSpec, group: str) -> Ledger:
        held: Ledger | None = self.young.get(group) or self.old.pop(group, None)
        if held is None:
            assert spec.ledger is not None  # noqa: S101 - the caller asked
            held = spec.ledger(None, spec.keep)
        self.young[group] = held
        return held

    def _keep(self, group: str, held: Ledger, deadline_before: int | None) -> None:
        self.newest = max(self.newest, held.lasts_until)
        deadline = held.deadline
        if deadline is not None and deadline != deadline_before:
            heappush(self._deadlines, (deadline, group))


def counted(spec: WindowSpec, group: str, held: Ledger, scored: list[Scored]) -> Counted:
    """What a ledger said, as a store answers."""
    floored = bool(scored) and scored[0][0] < held.floor_until
    return Counted(spec.state, group, scored, held.size, floored)
