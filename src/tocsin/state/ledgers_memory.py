"""Ledgers in memory: one a group, as the correlation type made it.

Most groups are an event or two, and nothing ever comes of them. So while a group has fewer members
than could make its rule true, a list of these is all that is kept of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from tocsin.model.alert import NEVER_MS
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
    """The ledgers of one rule, and a heap of when they are due (an entry may be out of date).

    A group that is too small to have one is the list of its members.
    """

    def __init__(self) -> None:
        super().__init__()
        self._deadlines: list[tuple[int, str]] = []
        self._law: tuple[LedgerKind | None, int | None, int] = (None, None, 0)
        self._span_ms = 0

    def judge_by(self, spec: WindowSpec) -> None:
        """Open the ledgers again when the rule's thresholds are others now."""
        law = (spec.ledger, spec.keep, spec.floor)
        if law == self._law:
            return
        self._law, self._span_ms = law, spec.span_ms
        for groups in (self.young, self.old):
            groups.update({name: _judged_anew(spec, held) for name, held in groups.items()})
        self._set_deadlines()

    def observe(
        self, spec: WindowSpec, groups: Mapping[str, list[Seen]], committed_ms: int
    ) -> Iterator[Counted]:
        floor, span_ms, young, old = spec.floor, spec.span_ms, self.young, self.old
        for group, batch in groups.items():
            held = young.get(group)
            if held is None:
                held = old.pop(group, None)
            if held is None or isinstance(held, list):
                few = batch if held is None else held + batch
                if len(few) < floor:
                    young[group] = few
                    last_ms = batch[0].time_ms if len(batch) == 1 else _last_ms(batch)
                    self.newest = max(self.newest, last_ms + span_ms)
                    if len(few) > 1:
                        yield Counted(spec.state, group, (), len(few))
                    continue
                batch, held = few, _opened(spec)  # noqa: PLW2901 - what came before belongs to it
            young[group] = held
            before = held.deadline
            scored = held.observe(batch, committed_ms)
            self._note(group, held, before)
            if scored or held.size > 1:
                yield counted(spec, group, held, scored)
        self.turn(committed_ms)

    def due(self, spec: WindowSpec, watermark_ms: int, committed_ms: int) -> Iterator[Counted]:
        reached = {group for group in spec.expected if group not in self.young and group not in self.old}
        while self._deadlines and self._deadlines[0][0] < watermark_ms:
            reached.add(heappop(self._deadlines)[1])
        for group in sorted(reached):
            held = self.young.get(group) or self.old.get(group)
            if held is None and group in spec.expected:
                held = _opened(spec)
            if held is None or isinstance(held, list):
                continue  # the entry was of a ledger that is gone
            self.old.pop(group, None)
            self.young[group] = held
            scored = held.due(watermark_ms, committed_ms)
            self._note(group, held, None)
            if scored:
                yield counted(spec, group, held, scored)

    def sweep(self, spec: WindowSpec, committed_ms: int) -> int:
        self.turn(committed_ms)
        dropped = self.shrink(spec.max_groups)
        if len(self._deadlines) > 2 * (len(self.young) + len(self.old)) + 64:
            self._set_deadlines()
        return dropped

    def age(self, held: Any) -> int:
        """See `Generations.age`."""
        return _last_ms(held) + self._span_ms if isinstance(held, list) else int(held.lasts_until)

    def _set_deadlines(self) -> None:
        alive = {**self.old, **self.young}
        self._deadlines = sorted(
            (held.deadline, group)
            for group, held in alive.items()
            if not isinstance(held, list) and held.deadline is not None
        )

    def _note(self, group: str, held: Ledger, deadline_before: int | None) -> None:
        """How long it lasts, and when it is due."""
        self.newest = max(self.newest, held.lasts_until)
        deadline = held.deadline
        if deadline is not None and deadline != deadline_before:
            heappush(self._deadlines, (deadline, group))


def _opened(spec: WindowSpec, dumped: bytes | None = None) -> Ledger:
    if spec.ledger is None:
        raise TypeError(f"{spec.state} keeps no ledger")
    return spec.ledger(dumped, spec.keep)


def _judged_anew(spec: WindowSpec, held: Ledger | list[Seen]) -> Ledger | list[Seen]:
    """The same members under this law."""
    if not isinstance(held, list):
        return _opened(spec, held.dump())
    if len(held) < spec.floor:
        return held
    ledger = _opened(spec)
    ledger.observe(held, NEVER_MS)
    return ledger


def _last_ms(members: Sequence[Seen]) -> int:
    return max(seen.time_ms for seen in members)


def counted(spec: WindowSpec, group: str, held: Ledger, scored: list[Scored]) -> Counted:
    """What a ledger said, as a store answers."""
    floored = bool(scored) and scored[0][0] < held.floor_until
    return Counted(spec.state, group, scored, held.size, floored)
