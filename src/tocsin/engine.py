"""The engine: events in, triggers out. Match, count in windows, score, compare.

All work is done a batch at a time and a rule at a time, never an event at a time: candidates are
found by event code, and rules that look at the same codes and group alike share the grouping.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import structlog

from tocsin import telemetry
from tocsin.grouping import VALUE_SEPARATOR, Grouped, Groups, grouped_by
from tocsin.model.alert import NEVER_MS, Reader, Triggers
from tocsin.model.compiled import CompiledRule, Correlation, Matcher, RuleSet, WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.rule import Rule
from tocsin.protocols import Counted, EvidenceStore, Observations, Sighted, Windows

log = structlog.get_logger()

Members = Mapping[str, list[tuple[int, str]]]


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
        self._counting = [
            _counting(rule, rule.correlation, exact=exact) for rule in ruleset.rules if rule.correlation
        ]
        self._by_state = {counting.spec.state: counting for counting in self._counting}

    @property
    def specs(self) -> list[WindowSpec]:
        """The window specs of every rule that counts."""
        return [counting.spec for counting in self._counting]

    def process(self, tenant: str, events: Sequence[Event], *, committed_ms: int) -> list[Triggers]:
        """What these events of one tenant make true. Safe to do again."""
        batch = _Batch(events)
        triggers = [
            trigger for rule in self._plain for trigger in _plain_triggers(tenant, rule, batch, committed_ms)
        ]
        seen: list[Observations] = []
        sighted: dict[str, Sighted] = {}
        for counting in self._counting:
            groups, members = batch.seen_by(counting)
            if groups:
                spec = counting.spec
                seen.append(Observations(spec, members))
                sighted[spec.state] = Sighted(spec.state, spec.span_ms, counting.readers, groups)
        if seen:
            counted = self._windows.observe(tenant, seen, committed_ms=committed_ms)
            kept = _worth_keeping(sighted, counted, self._evidence.from_size)
            newest_ms = max(event.time_ms for event in events)
            self._evidence.remember(tenant, kept, newest_ms=newest_ms, committed_ms=committed_ms)
            triggers += self._true(tenant, counted, sighted, committed_ms)
        return triggers

    def due(self, tenant: str, *, watermark_ms: int, committed_ms: int) -> list[Triggers]:
        """What became true because windows closed before `watermark_ms`; said again until it is committed."""
        closing = [spec for spec in self.specs if spec.closes]
        if not closing:
            return []
        found = self._windows.due(tenant, closing, watermark_ms=watermark_ms, committed_ms=committed_ms)
        return list(self._true(tenant, found, {}, NEVER_MS))

    def sweep(self, tenant: str, *, committed_ms: int) -> int:
        """Let go of groups that are over; how many were dropped because there were too many."""
        return self._windows.sweep(tenant, self.specs, committed_ms=committed_ms)

    def _true(
        self, tenant: str, counted: Iterable[Counted], sighted: Mapping[str, Sighted], late_before_ms: int
    ) -> Iterator[Triggers]:
        """The groups whose windows reach the rule's threshold."""
        for state, group, windows, _, floored in counted:
            if not windows:
                continue
            rule, correlation, _, readers = self._by_state[state]
            instants = correlation.true(windows)
            if instants:
                events = sighted[state].groups.get(group, []) if state in sighted else []
                yield Triggers(
                    rule.rule, tenant, group, instants, events, readers, state, floored, late_before_ms
                )


class _Counting(NamedTuple):
    """A rule that counts, with what a batch needs of it looked up once."""

    rule: CompiledRule
    correlation: Correlation
    spec: WindowSpec
    readers: tuple[Reader, ...]


def _counting(rule: CompiledRule, correlation: Correlation, *, exact: bool) -> _Counting:
    spec = correlation.spec
    if exact:
        spec = spec._replace(keep=None)
    return _Counting(rule, correlation, spec, _readers(rule))


def _readers(rule: CompiledRule) -> tuple[Reader, ...]:
    """What evidence keeps of an event: the rule's context, then its group."""
    group_by = rule.matchers[0].group_by if rule.matchers else ()
    return (*rule.context, *group_by)


def _plain_triggers(tenant: str, rule: CompiledRule, batch: _Batch, committed_ms: int) -> Iterator[Triggers]:
    """Every match of a plain detection is a trigger of score 1."""
    readers = _readers(rule)
    for matcher in rule.matchers:
        for group, events in batch.groups_of(rule.rule, matcher).items():
            instants = [(event.time_ms, 1.0) for event in events]
            yield Triggers(rule.rule, tenant, group, instants, events, readers, late_before_ms=committed_ms)


def _worth_keeping(
    sighted: Mapping[str, Sighted], counted: Iterable[Counted], from_size: int
) -> list[Sighted]:
    """The groups that evidence is kept of: most groups are one event, and no alert ever comes of them."""
    if from_size <= 1:
        return list(sighted.values())
    chosen: dict[str, dict[str, list[Event]]] = defaultdict(dict)
    for found in counted:
        if found.size >= from_size and found.group in sighted[found.state].groups:
            chosen[found.state][found.group] = list(sighted[found.state].groups[found.group])
    return [sighted[state]._replace(groups=groups) for state, groups in chosen.items()]


class _Batch:
    """The events of a batch, sorted out by what rules ask of them; each question is answered once."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._by_code: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            self._by_code[event.provider, event.code].append(event)
        self._candidates: dict[tuple[str, frozenset[str] | None], list[Event]] = {}
        self._grouped: dict[tuple[object, ...], Grouped] = {}
        self._members: dict[tuple[object, ...], Members] = {}

    def seen_by(self, counting: _Counting) -> tuple[Groups, Members]:
        """A counting rule's groups in this batch, as events and as the members its windows count."""
        rule, spec = counting.rule, counting.spec
        if len(rule.matchers) == 1:
            return self._of_matcher(rule.rule, rule.matchers[0], spec)
        groups: dict[str, list[Event]] = {}
        members: dict[str, list[tuple[int, str]]] = {}
        for matcher in rule.matchers:
            some_groups, some_members = self._of_matcher(rule.rule, matcher, spec)
            for key in some_members:
                groups[key] = [*groups.get(key, ()), *some_groups[key]]
                members[key] = [*members.get(key, ()), *some_members[key]]
        return groups, members

    def _of_matcher(self, rule: Rule, matcher: Matcher, spec: WindowSpec) -> tuple[Groups, Members]:
        groups = self.groups_of(rule, matcher)
        if not groups:
            return {}, {}
        key = (id(groups), *map(_same, matcher.value)) if spec.counts == "values" else (id(groups),)
        members = self._members.get(key)
        if members is None:
            members = self._members[key] = (
                _values(groups, matcher.value) if spec.counts == "values" else _ids(groups)
            )
        return groups, members

    def groups_of(self, rule: Rule, matcher: Matcher) -> Groups:
        """The events a matcher matches, by group key."""
        candidates = self._of_codes(matcher)
        if not candidates:
            return {}
        if matcher.matches is not None:
            matching = [e for e in candidates if _matches(matcher.matches, e, rule)]
            grouped = grouped_by(matching, matcher.group_by, allow_missing=rule.allow_missing)
            self._grouped[id(grouped),] = grouped  # alive as long as its id is a key in `_members`
        else:
            key = (matcher.product, matcher.codes, rule.allow_missing, *map(_same, matcher.group_by))
            found = self._grouped.get(key)
            grouped = found or grouped_by(candidates, matcher.group_by, allow_missing=rule.allow_missing)
            self._grouped[key] = grouped
        if grouped.missing:
            telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule=rule.name).inc(grouped.missing)
        return grouped.groups

    def _of_codes(self, matcher: Matcher) -> list[Event]:
        key = (matcher.product, matcher.codes)
        events = self._candidates.get(key)
        if events is None:
            events = self._candidates[key] = [
                event
                for (provider, code), some in self._by_code.items()
                if (not matcher.product or provider == matcher.product)
                and (matcher.codes is None or code in matcher.codes)
                for event in some
            ]
        return events


def _matches(matches: Callable[[Event], bool], event: Event, rule: Rule) -> bool:
    """One rule that breaks on one event is that rule's trouble alone: counted, logged, no match."""
    try:
        return matches(event)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        telemetry.RULE_ERRORS.labels(rule=rule.name).inc()
        log.warning("rule.failed", rule=rule.name, event_id=event.id, error=repr(exc))
        return False


def _same(reader: Reader) -> object:
    """Something that is equal for readers of the same field."""
    return reader.__reduce__()[1] if isinstance(reader, attrgetter) else id(reader)


def _ids(groups: Groups) -> Members:
    """What an event count counts: each event once, by its id."""
    members: dict[str, list[tuple[int, str]]] = {}
    for key, events in groups.items():
        if len(events) == 1:  # Most groups are: a comprehension would cost as much as all else here.
            event = events[0]
            members[key] = [(event.time_ms, event.id)]
        else:
            members[key] = [(event.time_ms, event.id) for event in events]
    return members


def _values(groups: Groups, readers: tuple[Reader, ...]) -> Members:
    """What a value count counts: each distinct (case-folded) value; an event that misses one is left out."""
    members: dict[str, list[tuple[int, str]]] = {}
    read = readers[0] if len(readers) == 1 else lambda event: _joined(event, readers)
    for key, events in groups.items():
        found = []
        for event in events:
            value = read(event)
            text = value if type(value) is str else as_text(value)
            if text:
                found.append((event.time_ms, text.casefold()))
        if found:
            members[key] = found
    return members


def _joined(event: Event, readers: tuple[Reader, ...]) -> str | None:
    parts = [as_text(reader(event)) for reader in readers]
    return None if None in parts else VALUE_SEPARATOR.join(part or "" for part in parts)
