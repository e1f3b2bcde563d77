"""A batch of events, sorted out by what rules ask of it; each question is answered once.

Candidates are found by event code, and rules that look at the same codes and group alike share the
grouping. Nothing is done an event at a time that can be done a batch at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import structlog

from tocsin import telemetry
from tocsin.grouping import Grouped, Groups, grouped_by
from tocsin.model.alert import Reader
from tocsin.model.compiled import CompiledRule, Matcher, WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.fed import Fed, joined
from tocsin.model.ledger import Seen
from tocsin.model.observed import Observations
from tocsin.model.rule import Rule

log = structlog.get_logger()

Counts = Mapping[str, list[tuple[int, str]]]
Members = Mapping[str, list[Seen]]


class Matched(NamedTuple):
    """One rule's groups in a batch, as events worth showing and as what its windows count of them."""

    groups: Groups
    observations: Observations


class EventBatch:
    """The events of a batch, and what correlations of them tell those that count them.

    `fed` are instants, by the state of who told them; `witnessed` the events that it counted.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self._by_code: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            self._by_code[event.provider, event.code].append(event)
        self.fed: dict[str, list[Event]] = defaultdict(list)
        self.witnessed: dict[str, list[Event]] = defaultdict(list)
        self._candidates: dict[tuple[str, frozenset[str] | None], list[Event]] = {}
        self._grouped: dict[tuple[object, ...], Grouped] = {}
        self._counts: dict[tuple[object, ...], Counts] = {}

    def seen_by(self, rule: CompiledRule, spec: WindowSpec) -> Matched | None:
        """A counting rule's groups; None when it sees nothing here."""
        found = self._members(rule, spec) if spec.ledger else self._counted(rule, spec)
        if found is None or not rule.depth:
            return found
        return found._replace(groups={key: _real(events) for key, events in found.groups.items()})

    def witnessed_by(self, rule: CompiledRule) -> Groups:
        """The events that the correlations counted which this one counts, by its own groups."""
        found: dict[str, list[Event]] = defaultdict(list)
        for matcher in rule.matchers:
            told = self.witnessed.get(matcher.of) if matcher.shown else None
            if told:
                grouped = grouped_by(told, matcher.group_by, allow_missing=rule.rule.allow_missing)
                for group, some in grouped.groups.items():
                    for one in some:
                        found[group] += one.events if isinstance(one, Fed) else ()
        return found

    def _counted(self, rule: CompiledRule, spec: WindowSpec) -> Matched | None:
        if len(rule.matchers) == 1:
            groups, counts = self._of_matcher(rule.rule, rule.matchers[0], spec)
            return Matched(groups, Observations(spec, counts)) if groups else None
        every: dict[str, list[Event]] = {}
        joined: dict[str, list[tuple[int, str]]] = {}
        for matcher in rule.matchers:
            groups, counts = self._of_matcher(rule.rule, matcher, spec)
            for key, events in groups.items():
                every[key] = [*every.get(key, ()), *events]
            for key, some in counts.items():
                joined[key] = [*joined.get(key, ()), *some]
        return Matched(every, Observations(spec, joined)) if every else None

    def _members(self, rule: CompiledRule, spec: WindowSpec) -> Matched | None:
        every: dict[str, list[Event]] = {}
        joined: dict[str, list[Seen]] = {}
        asked = counted = 0
        for matcher in rule.matchers:
            seen = matcher.seen
            for key, events in self.groups_of(rule.rule, matcher).items():
                members = seen(events) if seen else []
                asked += len(events)
                if members:
                    counted += len(members)
                    joined[key] = joined[key] + members if key in joined else members
                if matcher.shown:
                    every[key] = [*every[key], *events] if key in every else events
        if counted < asked:
            telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule=rule.rule.name).inc(asked - counted)
        return Matched(every, Observations(spec, {}, joined)) if every or joined else None

    def _of_matcher(self, rule: Rule, matcher: Matcher, spec: WindowSpec) -> tuple[Groups, Counts]:
        groups = self.groups_of(rule, matcher)
        if not groups:
            return {}, {}
        key = (id(groups), *map(_same, matcher.value)) if spec.counts == "values" else (id(groups),)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = (
                _values(groups, matcher.value) if spec.counts == "values" else _ids(groups)
            )
        return groups, counts

    def groups_of(self, rule: Rule, matcher: Matcher) -> Groups:
        """The events a matcher matches, by group key."""
        candidates = self.fed.get(matcher.of, []) if matcher.of else self._of_codes(matcher)
        if not candidates:
            return {}
        if matcher.matches is not None or matcher.of:
            matches = matcher.matches
            matching = [e for e in candidates if _matches(matches, e, rule)] if matches else candidates
            grouped = grouped_by(matching, matcher.group_by, allow_missing=rule.allow_missing)
            self._grouped[id(grouped),] = grouped  # alive as long as its id is a key in `_counts`
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


def _real(events: Sequence[Event]) -> list[Event]:
    """Without the instants of other correlations."""
    return [event for event in events if not isinstance(event, Fed)]


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


def _ids(groups: Groups) -> Counts:
    """What an event count counts: each event once, by its id."""
    members: dict[str, list[tuple[int, str]]] = {}
    for key, events in groups.items():
        if len(events) == 1:  # Most groups are: a comprehension would cost as much as all else here.
            event = events[0]
            members[key] = [(event.time_ms, event.id)]
        else:
            members[key] = [(event.time_ms, event.id) for event in events]
    return members


def _values(groups: Groups, readers: tuple[Reader, ...]) -> Counts:
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
    return None if None in parts else joined([part or "" for part in parts])
