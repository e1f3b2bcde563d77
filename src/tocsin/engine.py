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
from tocsin.model.alert import NEVER_MS, Reader, Triggers
from tocsin.model.compiled import CompiledRule, Correlation, Matcher, RuleSet, WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.rule import Rule
from tocsin.protocols import Counted, EvidenceStore, Observations, Sighted, Windows

VALUE_SEPARATOR = "\x1f"  # between the parts of a group key or of a counted tuple
log = structlog.get_logger()

Groups = Mapping[str, list[Event]]
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
        self._groups: dict[tuple[object, ...], Groups] = {}
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
        key = (id(groups), *map(_same, matcher.value)) if spec.counts == "values" else (id(groups),)
        members = self._members.get(key)
        if members is None:
            members = self._members[key] = (
                _values(groups, matcher.value) if spec.counts == "values" else _ids(groups)
            )
        return groups, members

    def groups_of(self, rule: Rule, matcher: Matcher) -> Groups:
        """The events a matcher matches, by group key."""
        if matcher.matches is not None:
            matching = [e for e in self._of_codes(matcher) if _matches(matcher.matches, e, rule)]
            groups = _grouped(matching, matcher.group_by, rule)
            self._groups[id(groups),] = groups  # alive as long as its id is a key above
            return groups
        key = (matcher.product, matcher.codes, rule.allow_missing, *map(_same, matcher.group_by))
        groups = self._groups.get(key) or _grouped(self._of_codes(matcher), matcher.group_by, rule)
        self._groups[key] = groups
        return groups

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


def _grouped(events: list[Event], group_by: tuple[Reader, ...], rule: Rule) -> Groups:
    """Events by their case-folded group; those without one are counted and left out."""
    if not events:
        return {}
    if not group_by:
        return {"": events}
    if len(group_by) == 1:
        return _grouped_by_one(events, group_by[0], rule)
    groups: dict[str, list[Event]] = {}
    missing = 0
    for event in events:
        parts = [as_text(reader(event)) for reader in group_by]
        if None in parts and not rule.allow_missing:
            missing += 1
        else:
            key = VALUE_SEPARATOR.join([part or "" for part in parts]).casefold()
            groups.setdefault(key, []).append(event)
    _count_missing(rule, missing)
    return groups


def _grouped_by_one(events: list[Event], reader: Reader, rule: Rule) -> Groups:
    """The same for one field, the common case: fold each distinct value once, not each event's."""
    raw: dict[object, list[Event]] = defaultdict(list)
    try:
        for event in events:
            raw[reader(event)].append(event)
    except TypeError:  # a list or an object where text is expected: no key of a dict
        raw = _by_text(events, reader)
    if not all(type(value) is str or value is None for value in raw):
        raw = _by_text(events, reader)  # true and 1 are one key of a dict, but two values
    groups: dict[str, list[Event]] = {}
    for value, some in raw.items():
        if not value and not rule.allow_missing:
            _count_missing(rule, len(some))
            continue
        key = str(value or "").casefold()
        groups[key] = [*groups[key], *some] if key in groups else some
    return groups


def _by_text(events: list[Event], reader: Reader) -> dict[object, list[Event]]:
    groups: dict[object, list[Event]] = defaultdict(list)
    for event in events:
        groups[as_text(reader(event))].append(event)
    return groups


def _count_missing(rule: Rule, count: int) -> None:
    if count:
        telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule=rule.name).inc(count)


def _ids(groups: Groups) -> Members:
    """What an event count counts: each event once, by its id."""
    return {key: [(event.time_ms, event.id) for event in events] for key, events in groups.items()}


def _values(groups: Groups, readers: tuple[Reader, ...]) -> Members:
    """What a value count counts: each distinct (case-folded) value; an event that misses one is left out."""
    members: dict[str, list[tuple[int, str]]] = {}
    for key, events in groups.items():
        found = [(event.time_ms, value) for event in events if (value := _value(event, readers)) is not None]
        if found:
            members[key] = found
    return members


def _value(event: Event, readers: tuple[Reader, ...]) -> str | None:
    parts = [as_text(reader(event)) for reader in readers]
    if None in parts:
        return None
    return VALUE_SEPARATOR.join(part or "" for part in parts).casefold()
