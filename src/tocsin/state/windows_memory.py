"""Windows in memory: for replay, tuning and rule tests, at full speed and with no server.

Groups live in two generations. A group that is seen moves into the young one; when nothing in the
old one can matter to any window still to come, it goes at once, with no look at its groups.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from operator import itemgetter

from tocsin.model.compiled import WindowSpec
from tocsin.model.observed import Counted, Observations
from tocsin.state.distinct import Distinct
from tocsin.state.generations import LONG_AGO, Generations
from tocsin.state.ledgers_memory import MemoryLedgers
from tocsin.state.members import append, changed, droppable, insert, pack_one, unpack_one
from tocsin.state.tumbling import Tumbling

_LOOK_EVERY = 8  # places of an array (four members) between looks at what can go
Batch = list[tuple[int, str]]
_by_time = itemgetter(0)


class MemoryWindows:
    """Windows of one process, gone with it. Not for several threads at once."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], _Sliding | _Values | _Closing] = {}
        self._ledgers = MemoryLedgers()
        self._committed: dict[str, int] = {}

    def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        self._committed[tenant] = committed_ms
        counted: list[Counted] = []
        for spec, groups, members in seen:
            if spec.ledger:
                counted += self._ledgers.observe(tenant, spec, members, committed_ms)
            else:
                self._state(tenant, spec).observe(spec, groups, committed_ms, counted)
        return counted

    def due(
        self,
        tenant: str,
        specs: Sequence[WindowSpec],
        *,
        watermark_ms: int,
        committed_ms: int | None = None,
    ) -> list[Counted]:
        if committed_ms is None:
            committed_ms = self._committed.get(tenant, LONG_AGO)
        counted: list[Counted] = []
        for spec in specs:
            state = self._states.get((tenant, spec.state))
            if spec.ledger:
                counted += self._ledgers.due(tenant, spec, watermark_ms, committed_ms)
            elif isinstance(state, _Closing):
                counted += state.due(spec, watermark_ms, committed_ms)
        return counted

    def sweep(self, tenant: str, specs: Sequence[WindowSpec], *, committed_ms: int) -> int:
        return sum(
            self._ledgers.sweep(tenant, spec, committed_ms)
            if spec.ledger
            else self._state(tenant, spec).sweep(spec, committed_ms)
            for spec in specs
        )

    def forget(self, tenant: str, specs: Sequence[WindowSpec]) -> None:
        for spec in specs:
            self._states.pop((tenant, spec.state), None)
            self._ledgers.forget(tenant, spec.state)

    def _state(self, tenant: str, spec: WindowSpec) -> _Sliding | _Values | _Closing:
        state = self._states.get((tenant, spec.state))
        if state is None:
            made = _Closing() if spec.closes else _Values() if spec.counts == "values" else _Sliding()
            state = self._states[tenant, spec.state] = made
        return state


class _Sliding(Generations):
    """Event counts: a group is a packed integer or an array of members."""

    def __init__(self) -> None:
        super().__init__()
        self.floor_until: dict[str, int] = {}  # groups that a cap took members from

    def observe(
        self, spec: WindowSpec, groups: Mapping[str, Batch], committed_ms: int, counted: list[Counted]
    ) -> None:
        young, old, floor, newest = self.young, self.old, spec.floor, self.newest
        for group, batch in groups.items():
            held = young.get(group)
            if held is None:
                held = old.pop(group, None)
                if held is None and len(batch) == 1:
                    at_ms, member = batch[0]
                    young[group] = pack_one(at_ms, hash(member))
                    newest = max(newest, at_ms)
                    if floor <= 1:
                        counted.append(Counted(spec.state, group, [(at_ms, 1)], 1))
                    continue
                held = array("q") if held is None else held
                young[group] = held
            if isinstance(held, int):
                held = young[group] = array("q", unpack_one(held))
            before = len(held)
            at_ms, member = batch[0]
            if len(batch) == 1 and before and at_ms > held[-2]:
                windows = append(held, at_ms, hash(member), spec.span_ms, floor)
            else:
                batch = sorted(batch, key=_by_time)  # noqa: PLW2901 - the caller's list is not ours
                at_ms = batch[-1][0]
                insert(held, batch)
                windows = changed(held, spec.span_ms, batch, floor) if len(held) >= 2 * floor else []
            newest = max(newest, at_ms)
            floored = bool(windows) and windows[0][0] < self.floor_until.get(group, LONG_AGO)
            if before // _LOOK_EVERY != len(held) // _LOOK_EVERY:
                self._prune(spec, group, held, committed_ms)
            if len(held) > 2 or windows:  # noqa: PLR2004 - one member is a time and a hash
                counted.append(Counted(spec.state, group, windows, len(held) // 2, floored))
        self.newest = newest
        self.turn(committed_ms - spec.span_ms)

    def _prune(self, spec: WindowSpec, group: str, held: array[int], committed_ms: int) -> None:
        drop = droppable(held, spec.span_ms, spec.keep, committed_ms)
        if not drop:
            return
        last = held[2 * drop - 2]
        del held[: 2 * drop]
        if last >= committed_ms - spec.span_ms:
            self.floor_until[group] = max(last + spec.span_ms + 1, self.floor_until.get(group, LONG_AGO))
        if not held:
            self.drop(group)

    def sweep(self, spec: WindowSpec, committed_ms: int) -> int:
        """See `Windows.sweep`."""
        self.turn(committed_ms - spec.span_ms)
        dropped = self.shrink(spec.max_groups)
        if self.floor_until:
            self.floor_until = {g: until for g, until in self.floor_until.items() if until > committed_ms}
        return dropped

    def age(self, held: int | array[int]) -> int:
        """See `Generations.age`."""
        return unpack_one(held)[0] if isinstance(held, int) else held[-2]


class _Values(Generations):
    """Distinct values: a group is a packed integer or `Distinct`."""

    def observe(
        self, spec: WindowSpec, groups: Mapping[str, Batch], committed_ms: int, counted: list[Counted]
    ) -> None:
        young = self.young
        for group, batch in groups.items():
            held = young.get(group)
            if held is None:
                held = self.old.pop(group, None)
            if len(batch) > 1:
                batch = sorted(batch, key=_by_time)  # noqa: PLW2901 - the caller's list is not ours
            self.newest = max(self.newest, batch[-1][0])
            if held is None and len(batch) == 1:
                at_ms, member = batch[0]
                young[group] = pack_one(at_ms, hash(member))
                if spec.floor <= 1:
                    counted.append(Counted(spec.state, group, [(at_ms, 1)], 1))
                continue
            held = young[group] = _distinct(held)
            windows = held.observe(batch, spec.span_ms, spec.floor, committed_ms)
            floored = bool(windows) and held.floor_until is not None and windows[0][0] < held.floor_until
            held.prune(spec.span_ms, spec.keep, committed_ms)
            size = len(held.times)
            if windows or size > 1:
                counted.append(Counted(spec.state, group, windows, size, floored))
        self.turn(committed_ms - spec.span_ms)

    def sweep(self, spec: WindowSpec, committed_ms: int) -> int:
        """See `Windows.sweep`."""
        self.turn(committed_ms - spec.span_ms)
        return self.shrink(spec.max_groups)

    def age(self, held: int | Distinct) -> int:
        """See `Generations.age`."""
        return unpack_one(held)[0] if isinstance(held, int) else held.times[-1]


class _Closing(Generations):
    """Tumbling windows, and a heap of when the open ones end (an entry may be out of date)."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[tuple[int, str]] = []

    def observe(
        self, spec: WindowSpec, groups: Mapping[str, Batch], committed_ms: int, counted: list[Counted]
    ) -> None:
        self.turn(committed_ms - spec.span_ms)
        for group, batch in groups.items():
            held = self.young.get(group) or self.old.pop(group, None) or Tumbling()
            self.young[group] = held
            batch = sorted(batch, key=_by_time)  # noqa: PLW2901 - the caller's list is not ours
            self.newest = max(self.newest, batch[-1][0])
            before = held.deadline(spec.span_ms)
            held.observe(batch)
            held.trim(spec.span_ms, spec.keep, distinct=spec.counts == "values")
            deadline = held.deadline(spec.span_ms)
            if deadline is not None and deadline != before:
                heappush(self.deadlines, (deadline, group))
            size = len(held.members) // 2
            if size > 1:
                counted.append(Counted(spec.state, group, [], size))

    def due(self, spec: WindowSpec, watermark_ms: int, committed_ms: int) -> Iterator[Counted]:
        """See `Windows.due`."""
        reached: set[str] = set()
        while self.deadlines and self.deadlines[0][0] < watermark_ms:
            reached.add(heappop(self.deadlines)[1])
        for group in sorted(reached):
            held = self.young.get(group) or self.old.get(group)
            if held is None:
                continue
            held.forget(spec.span_ms, committed_ms)
            deadline = held.deadline(spec.span_ms)
            if deadline is None:
                continue
            heappush(self.deadlines, (deadline, group))
            windows = held.closing(spec.span_ms, watermark_ms, distinct=spec.counts == "values")
            windows = [window for window in windows if window[1] >= spec.floor]
            if windows:
                floored = held.floor_until is not None and windows[0][0] < held.floor_until
                yield Counted(spec.state, group, windows, len(held.members) // 2, floored)

    def sweep(self, spec: WindowSpec, committed_ms: int) -> int:
        """See `Windows.sweep`. A window still open at `committed_ms` began within the last span."""
        self.turn(committed_ms - spec.span_ms)
        dropped = self.shrink(spec.max_groups)
        if len(self.deadlines) > 2 * (len(self.young) + len(self.old)) + 64:
            alive = {**self.old, **self.young}
            self.deadlines = [
                entry
                for entry in set(self.deadlines)
                if (held := alive.get(entry[1])) and _due(held, spec, entry)
            ]
            heapify(self.deadlines)
        return dropped

    def age(self, held: Tumbling) -> int:
        """See `Generations.age`."""
        return held.members[-2] if held.members else held.closed_until or LONG_AGO


def _due(held: Tumbling, spec: WindowSpec, entry: tuple[int, str]) -> bool:
    return held.deadline(spec.span_ms) == entry[0]


def _distinct(held: Distinct | int | None) -> Distinct:
    if isinstance(held, Distinct):
        return held
    distinct = Distinct()
    if held is not None:
        at_ms, value = unpack_one(held)
        distinct.put(value, at_ms)
    return distinct
