"""The engine: events in, triggers out. Match, count in windows, score, compare.

All work is done a batch at a time and a rule at a time, never an event at a time. Correlations that
count other correlations come after them, a level of the chain at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tocsin.grouping import Groups
from tocsin.matching import EventBatch
from tocsin.model.alert import NEVER_MS, Reader, Triggers
from tocsin.model.compiled import CompiledRule, Correlation, RuleSet, WindowSpec
from tocsin.model.event import Event
from tocsin.model.fed import counted_by, instants_of
from tocsin.model.ledger import BEGINS, Seen
from tocsin.model.observed import Counted, Observations, Sighted
from tocsin.protocols import EvidenceStore, Windows


class Engine:
    """A rule set at work on one window store.

    `exact` keeps every member inside the timespan, as replay does, instead of only as many as the
    rule's thresholds need.
    """

    def __init__(
        self, ruleset: RuleSet, windows: Windows, evidence: EvidenceStore, *, exact: bool = False
    ) -> None:
        self.ruleset = ruleset
        self._windows = windows
        self._evidence = evidence
        self._plain = [rule for rule in ruleset.rules if rule.correlation is None]
        counting = [
            _counting(rule, rule.correlation, exact=exact) for rule in ruleset.rules if rule.correlation
        ]
        self._by_state = {one.spec.state: one for one in counting}
        self._levels = _levels(counting)
        self._feeding = {matcher.of for one in counting for matcher in one.rule.matchers if matcher.of}
        self.specs = [one.spec for one in counting]
        self._expecting = [spec for spec in self.specs if spec.expected]
        self._begun: dict[str, int] = {}  # tenant -> its first event time that those were told

    def process(self, tenant: str, events: Sequence[Event], *, committed_ms: int) -> list[Triggers]:
        """What these events of one tenant make true. Safe to do again."""
        batch = EventBatch(events)
        triggers = [
            trigger for rule in self._plain for trigger in _plain_triggers(tenant, rule, batch, committed_ms)
        ]
        newest_ms = max((event.time_ms for event in events), default=NEVER_MS)
        if self._expecting and events:
            self._begin(tenant, min(event.time_ms for event in events), committed_ms)
        for level in self._levels:
            found = self._observe(tenant, batch, level, newest_ms, committed_ms)
            triggers += self._passed_on(batch, found)
        return triggers

    def due(self, tenant: str, *, watermark_ms: int, committed_ms: int) -> list[Triggers]:
        """What the watermark decided, up to `watermark_ms`; said again until it is committed."""
        batch = EventBatch(())
        triggers: list[Triggers] = []
        for level in self._levels:
            found = self._observe(tenant, batch, level, watermark_ms, committed_ms) if level[0].depth else []
            closing = [one.spec for one in level if one.spec.closes]
            if closing:
                closed = self._windows.due(
                    tenant, closing, watermark_ms=watermark_ms, committed_ms=committed_ms
                )
                found += self._true(tenant, closed, (), NEVER_MS)
            triggers += self._passed_on(batch, found)
        return triggers

    def sweep(self, tenant: str, *, committed_ms: int) -> int:
        """Let go of groups that are over; how many were dropped because there were too many."""
        return self._windows.sweep(tenant, self.specs, committed_ms=committed_ms)

    def forget(self, tenant: str, states: Container[str]) -> None:
        """What the rules of these states knew has a gap; where more could make them false, forget it."""
        gaps = [spec for spec in self.specs if spec.closes and spec.state in states]
        self._windows.forget(tenant, gaps)
        self._begun.pop(tenant, None)  # it is said again with the next events

    def _begin(self, tenant: str, oldest_ms: int, committed_ms: int) -> None:
        """Say when the tenant was first heard of: the watch over expected groups begins there.

        Their ledgers keep the first time they are told, so that it is said again after a restart.
        """
        begun_ms = self._begun.get(tenant)
        if begun_ms is not None and oldest_ms >= begun_ms:
            return
        begins = [Seen(oldest_ms, 0, BEGINS)]
        told = [Observations(spec, {}, dict.fromkeys(spec.expected, begins)) for spec in self._expecting]
        self._windows.observe(tenant, told, committed_ms=committed_ms)
        self._begun[tenant] = oldest_ms

    def _observe(
        self, tenant: str, batch: EventBatch, level: Sequence[_Counting], newest_ms: int, committed_ms: int
    ) -> list[Triggers]:
        """Show the batch to the windows of these rules; what it made true at once."""
        seen: list[Observations] = []
        sighted: dict[str, Sighted] = {}
        below: dict[str, Sighted] = {}  # by the rules that these count
        for counting in level:
            state = counting.spec.state
            matched = batch.seen_by(counting.rule, counting.spec)
            if matched is not None:
                if matched.observations.groups or matched.observations.members:
                    seen.append(matched.observations)
                sighted[state] = counting.sighted(matched.groups)
            if counting.depth and (groups := batch.witnessed_by(counting.rule)):
                below[state] = counting.sighted(groups)
        if not sighted and not below:
            return []
        counted = self._windows.observe(tenant, seen, committed_ms=committed_ms) if seen else []
        kept = [*self._worth_keeping(sighted, counted), *below.values()]
        self._evidence.remember(tenant, kept, newest_ms=newest_ms, committed_ms=committed_ms)
        for one in kept:
            if one.state in self._feeding:
                batch.witnessed[one.state] += counted_by(self._by_state[one.state].rule.rule, one.groups)
        return list(self._true(tenant, counted, [sighted, below], committed_ms))

    def _worth_keeping(self, sighted: Mapping[str, Sighted], counted: Iterable[Counted]) -> list[Sighted]:
        """The groups that evidence is kept of: most groups are one event, and no alert ever comes of them."""
        from_size = self._evidence.from_size
        kept: list[Sighted] = []
        some: dict[str, dict[str, list[Event]]] = {}
        for state, one in sighted.items():
            if from_size <= 1 or self._by_state[state].spec.shows_one:
                kept.append(one)
            else:
                some[state] = {}
        for found in counted if some else ():
            state, group = found.state, found.group
            if state in some and found.size >= from_size and group in sighted[state].groups:
                some[state][group] = list(sighted[state].groups[group])
        return kept + [sighted[state]._replace(groups=groups) for state, groups in some.items() if groups]

    def _true(
        self,
        tenant: str,
        counted: Iterable[Counted],
        sighted: Sequence[Mapping[str, Sighted]],
        late_before_ms: int,
    ) -> Iterator[Triggers]:
        """The groups whose windows reach the rule's threshold."""
        for state, group, windows, _, floored in counted:
            if not windows:
                continue
            counting = self._by_state[state]
            instants = counting.correlation.true(windows)
            if instants:
                events = [
                    event for some in sighted if state in some for event in some[state].groups.get(group, ())
                ]
                # What only more members can make truer is a floor; any other score is of a sample.
                sampled = floored and counting.spec.closes and counting.spec.ledger is not None
                yield Triggers(
                    counting.rule.rule, tenant, group, instants, events, counting.readers, state,
                    floored and not sampled, sampled, late_before_ms,
                )  # fmt: skip

    def _passed_on(self, batch: EventBatch, triggers: Sequence[Triggers]) -> list[Triggers]:
        """Tell the correlations that count these; what is left are the triggers of rules that alert."""
        if not self._feeding:
            return list(triggers)
        for trigger in triggers:
            if trigger.state in self._feeding:
                batch.fed[trigger.state] += instants_of(trigger)
        return [trigger for trigger in triggers if self._by_state[trigger.state].rule.alerts]


class _Counting(NamedTuple):
    """A rule that counts, with what a batch needs of it looked up once."""

    rule: CompiledRule
    correlation: Correlation
    spec: WindowSpec
    readers: tuple[Reader, ...]  # what evidence keeps of an event: the rule's context, then its group

    @property
    def depth(self) -> int:
        """See `CompiledRule.depth`."""
        return self.rule.depth

    def sighted(self, groups: Groups) -> Sighted:
        """These events as evidence keeps them."""
        rule = self.rule.rule
        return Sighted(self.spec.state, rule.evidence_ms, self.readers, groups, rule.context)


def _counting(rule: CompiledRule, correlation: Correlation, *, exact: bool) -> _Counting:
    spec = correlation.spec
    if exact:
        spec = spec._replace(keep=None)
    return _Counting(rule, correlation, spec, (*rule.context, *rule.group))


def _levels(counting: Sequence[_Counting]) -> list[list[_Counting]]:
    """Rules that count, those that feed others before these."""
    depths: dict[int, list[_Counting]] = defaultdict(list)
    for one in counting:
        depths[one.depth].append(one)
    return [depths[depth] for depth in sorted(depths)]


def _plain_triggers(
    tenant: str, rule: CompiledRule, batch: EventBatch, committed_ms: int
) -> Iterator[Triggers]:
    """Every match of a plain detection is a trigger of score 1."""
    readers = (*rule.context, *rule.group)
    for matcher in rule.matchers:
        for group, events in batch.groups_of(rule.rule, matcher).items():
            instants = [(event.time_ms, 1.0) for event in events]
            yield Triggers(rule.rule, tenant, group, instants, events, readers, late_before_ms=committed_ms)
