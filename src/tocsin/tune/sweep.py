"""What other values of a rule's params would have done: one replay, a row for each candidate.

A correlation returns a score, and candidates that differ only in what it is compared with share its
windows: all their rows come of the same scores. Other params (a timespan, a field) change what is
counted, so each value of them has windows of its own, in the same pass over the events.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tocsin.clock import DAY_MS, from_ms
from tocsin.model.alert import NEVER_MS, Alert, Change, Sightings, Triggers
from tocsin.model.compiled import CompiledRule, Correlation, Matcher, RuleSet, WindowSpec
from tocsin.model.ledger import Scored
from tocsin.model.observed import Sighted
from tocsin.protocols import Batch
from tocsin.rules.made import Made
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Replay


class Candidate(NamedTuple):
    """The rule with some params set; `within` are those of the rules that it counts."""

    values: Mapping[str, str]
    made: Made
    within: tuple[str, ...] = ()


class Row(NamedTuple):
    """What a candidate would have done.

    `alerts` that fired, `per_day` of the events' time (less than a day counts as one), the different
    `groups` they are about, and when the `first` and the `last` of them started (None: there are
    none).
    """

    values: Mapping[str, str]
    alerts: int
    per_day: float
    groups: int
    first: datetime | None
    last: datetime | None


class Sweep:
    """Candidates under way; feed it events, then ask for the rows."""

    def __init__(self, candidates: Sequence[Candidate], *, lateness: timedelta) -> None:
        """`candidates` are of one rule; there is at least one."""
        self._candidates = candidates
        self._shared = _shared(candidates)
        self._told = _Told()
        self.ruleset = _ruleset(candidates, self._shared)
        self._replay = Replay(
            self.ruleset, MemoryWindows(), lateness=lateness, evidence=_NoEvidence(), alerts=self._told
        )
        self._first_ms: int | None = None
        self._last_ms = NEVER_MS

    @property
    def late(self) -> int:
        """How many events were late: their rows are as good as may be."""
        return self._replay.late

    @property
    def latest(self) -> timedelta:
        """How far behind the newest event the latest of them came."""
        return self._replay.latest

    @property
    def days(self) -> float:
        """How much time the events are about."""
        return 0.0 if self._first_ms is None else (self._last_ms - self._first_ms) / DAY_MS

    def feed(self, batch: Batch, newest_ms: int | None = None) -> None:
        """See `Replay.feed`."""
        if batch.events:
            times = [event.time_ms for event in batch.events]
            self._first_ms = min(times) if self._first_ms is None else min(self._first_ms, *times)
            self._last_ms = max(self._last_ms, *times)
        self._replay.feed(batch.events, newest_ms)

    def finish(self) -> list[Row]:
        """The end of the events; a row for each candidate, in their order."""
        self._replay.finish()
        return [
            self._row(candidate, self._told.scored[name])
            for candidate, name in zip(self._candidates, self._names(), strict=True)
        ]

    def _names(self) -> Iterator[str]:
        for position in range(len(self._candidates)):
            yield next(name for name, sharing in self._shared.items() if position in sharing)

    def _row(self, candidate: Candidate, scored: Mapping[tuple[str, str], _Scores]) -> Row:
        rule = candidate.made.compiled
        starts: list[int] = []
        groups = 0
        for scores in scored.values():
            found = list(
                episodes(scores.holding(rule.correlation), rule.rule.resolve_after_ms, rule.rule.for_ms)
            )
            starts += found
            groups += bool(found)
        return Row(
            candidate.values,
            len(starts),
            len(starts) / max(1.0, self.days),
            groups,
            from_ms(min(starts)) if starts else None,
            from_ms(max(starts)) if starts else None,
        )


def episodes(instants: Iterable[int], resolve_after_ms: int, for_ms: int) -> Iterator[int]:
    """The starts of the alerts that these triggers (ms, ascending) make: those that fire.

    An episode goes on while no gap is greater than `resolve_after_ms`; it fires at the first trigger
    at least `for_ms` after its start.
    """
    start = last = None
    fired = False
    for at_ms in instants:
        if start is None or last is None or at_ms - last > resolve_after_ms:
            start, fired = at_ms, False
        last = at_ms
        if not fired and at_ms - start >= for_ms:
            fired = True
            yield start


class _Scores:
    """When a group was scored, and with what: packed, because every event may be an instant."""

    __slots__ = ("scores", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.scores = array("d")

    def add(self, instants: Iterable[Scored]) -> None:
        for at_ms, score in instants:
            self.times.append(at_ms)
            self.scores.append(score)

    def holding(self, correlation: Correlation | None) -> list[int]:
        """The instants at which the correlation holds, ascending; of one instant the higher score counts."""
        best: dict[int, float] = {}
        for at_ms, score in zip(self.times, self.scores, strict=True):
            if score >= best.get(at_ms, score):
                best[at_ms] = score
        return sorted(at for at, score in best.items() if correlation is None or correlation.holds(score))


class _Told:
    """Takes triggers in place of the episodes' store, and keeps their scores by rule and group."""

    def __init__(self) -> None:
        self.scored: dict[str, dict[tuple[str, str], _Scores]] = defaultdict(lambda: defaultdict(_Scores))

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:  # noqa: ARG002
        for trigger in triggers:
            self.scored[trigger.rule.name][trigger.tenant, trigger.group].add(trigger.instants)
        return []

    def close(self, tenant: str, watermark_ms: int) -> list[Change]:  # noqa: ARG002
        return []

    def get(self, alert_id: str) -> Alert | None:  # noqa: ARG002
        return None

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Alert]:  # noqa: ARG002
        return []

    def unsettled(self) -> list[Alert]:
        return []

    def settle(self, alert_ids: Iterable[str]) -> None:
        """Nobody is told of anything here."""

    def forget(self, before: datetime) -> int:  # noqa: ARG002
        return 0


class _NoEvidence:
    """Rows are numbers: nobody asks what the events looked like."""

    from_size = 1 << 30

    def remember(self, tenant: str, seen: Sequence[Sighted], *, newest_ms: int, committed_ms: int) -> None:
        """Keep nothing."""

    def recall(self, trigger: Triggers, from_ms: int, to_ms: int) -> Sightings:  # noqa: ARG002
        return Sightings([], [], [])


@dataclass(frozen=True, slots=True)
class _Every:
    """A correlation of which every score counts: candidates judge for themselves."""

    spec: WindowSpec

    def holds(self, score: float) -> bool:  # noqa: ARG002
        return True

    def true(self, windows: Sequence[Scored]) -> list[Scored]:
        return list(windows)


@dataclass(frozen=True, slots=True)
class _Apart:
    """A correlation whose windows are another's no more."""

    spec: WindowSpec
    inner: Correlation

    def holds(self, score: float) -> bool:
        return self.inner.holds(score)

    def true(self, windows: Sequence[Scored]) -> list[Scored]:
        return self.inner.true(windows)


def _shared(candidates: Sequence[Candidate]) -> dict[str, list[int]]:
    """Name of a run -> the candidates (by position) whose scores it gives."""
    runs: dict[object, list[int]] = defaultdict(list)
    for position, candidate in enumerate(candidates):
        alike = _counts_alike(candidate.made)
        runs[(alike, candidate.within) if alike else position].append(position)
    return {f"run {number}": positions for number, positions in enumerate(runs.values())}


def _counts_alike(made: Made) -> object:
    """Equal for rules whose scores are the same; None for one that has no score of its own."""
    correlation, spec = made.compiled.correlation, made.spec
    if correlation is None or spec is None:
        return None
    return correlation.spec.state, correlation.spec.closes, spec.own, spec.bounds.monotone


def _ruleset(candidates: Sequence[Candidate], shared: Mapping[str, Sequence[int]]) -> RuleSet:
    rules: dict[str, CompiledRule] = {}
    fields: frozenset[str] = frozenset()
    apart = {candidate.within: "" for candidate in candidates}
    if len(apart) > 1:
        apart = {within: f" within {number}" for number, within in enumerate(apart)}
    for name, positions in shared.items():
        made = [candidates[position].made for position in positions]
        mark = apart[candidates[positions[0]].within]
        for child in made[0].children:
            rules |= {rule.rule.id: rule for rule in (_counted(rule, mark) for rule in _whole(child))}
        rules[name] = _open(name, [one.compiled for one in made], mark)
        fields |= made[0].fields
    return RuleSet(tuple(rules.values()), fields)


def _counted(compiled: CompiledRule, mark: str) -> CompiledRule:
    """A rule that others count, under names of its own where its params differ between candidates."""
    if not mark or compiled.correlation is None:
        return replace(compiled, alerts=False)
    spec = compiled.correlation.spec
    return replace(
        compiled,
        rule=replace(compiled.rule, id=f"{compiled.rule.id}{mark}", name=f"{compiled.rule.name}{mark}"),
        matchers=_fed(compiled, mark),
        correlation=_Apart(spec._replace(state=f"{spec.state}{mark}"), compiled.correlation),
        alerts=False,
    )


def _fed(compiled: CompiledRule, mark: str) -> tuple[Matcher, ...]:
    """Its matchers, fed by the rules of this mark."""
    return tuple(
        replace(matcher, of=f"{matcher.of}{mark}") if matcher.of else matcher for matcher in compiled.matchers
    )


def _whole(made: Made) -> Iterator[CompiledRule]:
    for child in made.children:
        yield from _whole(child)
    yield made.compiled


def _open(name: str, rules: Sequence[CompiledRule], mark: str) -> CompiledRule:
    """One rule that gives the scores of all of these."""
    rule = replace(rules[0].rule, name=name, id=name)
    specs = [one.correlation.spec for one in rules if one.correlation]
    if not specs:
        return replace(rules[0], rule=rule)
    spec = specs[0]._replace(state=f"{specs[0].state} {name}", floor=min(spec.floor for spec in specs))
    return replace(rules[0], rule=rule, matchers=_fed(rules[0], mark), correlation=_Every(spec))
