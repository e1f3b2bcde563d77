"""The tests inside rule files, run: events in, the alerts that open against those expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tocsin.catalog.provider import ECS, PROVIDERS
from tocsin.clock import MS, format_duration, iso, to_ms
from tocsin.errors import BadRecord
from tocsin.model.alert import Change, ChangeKind
from tocsin.model.compiled import CompiledRule, RuleSet
from tocsin.model.event import Event, as_text
from tocsin.protocols import Batch, Windows
from tocsin.rules.cases import Case, Expected
from tocsin.rules.load import Loaded
from tocsin.rules.made import Made
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.nearest import Witness, matching
from tocsin.tune.replay import replay

Record = dict[str, Any]
# A rule set over events, in time order: every change that is told.
Run = Callable[[RuleSet, Sequence[Event]], list[Change]]

BEGINNING_MS = to_ms(datetime(2025, 1, 6, 12, tzinfo=UTC))  # a Monday, noon
LATENESS = timedelta(seconds=60)
DEFAULT_PROVIDER = "auth0"  # of a rule without a product, or with one that no source reads


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test went; `mistakes` is empty where it passed."""

    rule: str
    case: Case
    mistakes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the alerts were those expected."""
        return not self.mistakes


def run_cases(loaded: Loaded, run: Run | None = None) -> Iterator[Outcome]:
    """The outcome of every test of every rule, each rule alone; on memory windows unless told."""
    rules = {made.compiled.rule.id: made for made in loaded.made if not made.not_running}
    for rule_id, cases in loaded.cases.items():
        rule = rules.get(rule_id)
        for case in cases:
            yield _without_rule(rule_id, case) if rule is None else _outcome(loaded, rule, case, run)


def in_windows(make: Callable[[], Windows] = MemoryWindows) -> Run:
    """A run on windows of this kind, made anew for every test."""

    def run(ruleset: RuleSet, events: Sequence[Event]) -> list[Change]:
        longest = max((rule.rule.evidence_ms + rule.rule.for_ms for rule in ruleset.rules), default=0)
        # Event time runs on after the last event, so that windows which close can do so.
        until_ms = max((event.time_ms for event in events), default=0) + longest + LATENESS // MS
        batch = Batch([*events], "end")
        return list(replay(ruleset, [batch], windows=make(), lateness=LATENESS, until_ms=until_ms))

    return run


def provider_of(made: Made) -> str:
    """Whose records a rule's tests are, where they do not say: of an ECS rule of any product, documents."""
    product = made.compiled.rule.product
    if product in PROVIDERS:
        return product
    return ECS if made.bases and all(base.doc.vocabulary.ecs for base in made.bases) else DEFAULT_PROVIDER


def events_of(case: Case, provider: str, fields: Iterable[str]) -> list[Event]:
    """The events of a test, by time, that hold these vendor fields; `provider` is that of most of them.

    Raises:
        BadRecord: one of them cannot be decoded.
    """
    timed = _timed(case, provider)
    events: dict[int, Event] = {}
    for whose in dict.fromkeys(whose for whose, _ in timed):
        numbers = [number for number, (named, _) in enumerate(timed, start=1) if named == whose]
        records = [msgspec.json.encode(timed[number - 1][1]) for number in numbers]
        found, bad = Decoder(fields, provider=whose).decode_records(records, first=0, now_ms=None)
        if bad:
            raise BadRecord(f"event {numbers[bad[0].line]} cannot be decoded: {bad[0].reason}")
        events |= zip(numbers, found, strict=True)
    return [events[number] for number in sorted(events)]


def records_of(case: Case, provider: str) -> list[Record]:
    """The vendor records of a test, by time; id and date are filled in where the test gives none."""
    return [record for _, record in _timed(case, provider)]


def _timed(case: Case, provider: str) -> list[tuple[str, Record]]:
    """Every record with its provider, by time."""
    timed: list[tuple[int, str, Record]] = []
    for line in case.events:
        whose = line.provider or provider
        facts = PROVIDERS[whose]
        for index in range(line.repeat):
            at_ms = BEGINNING_MS + line.at_ms + index * line.every_ms
            filled = {key: _numbered(value, index + 1) for key, value in line.record.items()}
            known = {facts.id_fields[0]: f"test-{len(timed) + 1:06d}", facts.time_fields[0]: iso(at_ms)}
            timed.append((at_ms, whose, {**known, **filled}))
    return [(whose, record) for _, whose, record in sorted(timed, key=lambda one: one[0])]


def _numbered(value: Any, number: int) -> Any:
    """`{n}` in every text below becomes the number."""
    match value:
        case str():
            return value.replace("{n}", str(number))
        case list():
            return [_numbered(item, number) for item in value]
        case dict():
            return {key: _numbered(item, number) for key, item in value.items()}
        case _:
            return value


def _without_rule(rule_id: str, case: Case) -> Outcome:
    why = "the rule does not run by itself; move its tests to the correlation that counts it"
    return Outcome(rule_id, case, (why,))


def _outcome(loaded: Loaded, made: Made, case: Case, run: Run | None) -> Outcome:
    rule = made.compiled
    alone = replace(loaded.ruleset, rules=(*_feeding(made), rule))
    try:
        events = events_of(case, provider_of(made), loaded.ruleset.fields)
        changes = (run or in_windows())(alone, events)
    except BadRecord as exc:
        return Outcome(rule.rule.name, case, (str(exc),))
    opened = [change for change in changes if change.kind is ChangeKind.OPENED]
    absent, left = _compared(
        case.expect, [change for change in opened if change.alert.rule == rule.rule.name]
    )
    mistakes = [f"expected and not seen: {_shown_expected(expected)}" for expected in absent]
    mistakes += [f"seen and not expected: {_shown(change)}" for change in left]
    if absent and not left:
        mistakes.append(_nearest(alone, rule, events, absent[0]))
    return Outcome(rule.rule.name, case, tuple(mistakes))


def _feeding(made: Made) -> Iterator[CompiledRule]:
    """The correlations that this one counts, each once; their own alerts are no matter of its tests."""
    known: dict[str, CompiledRule] = {}
    for child in made.children:
        for rule in (*_feeding(child), child.compiled):
            known[rule.rule.id] = replace(rule, alerts=False)
    yield from known.values()


def _has_group(rule: CompiledRule, event: Event) -> bool:
    return rule.rule.allow_missing or all(as_text(read(event)) is not None for read in rule.group)


def _compared(expect: Sequence[Expected], opened: Sequence[Change]) -> tuple[list[Expected], list[Change]]:
    """Each expected alert takes the first opened one that fits; what is left of both."""
    left = sorted(opened, key=lambda change: change.at_ms)
    absent: list[Expected] = []
    for expected in expect:
        fitting = next((change for change in left if _fits(expected, change)), None)
        if fitting is None:
            absent.append(expected)
        else:
            left.remove(fitting)
    return absent, left


def _nearest(alone: RuleSet, rule: CompiledRule, events: Sequence[Event], expected: Expected) -> str:
    """Why nothing opened, as far as it shows: the best score there was, or what stopped the counting."""
    matched = matching(rule, events)
    if not matched and not any(matcher.of for matcher in rule.matchers):
        way_out = f"`tocsin rules explain {rule.rule.name} --event FILE` says why of a record"
        return f"nearest: none of its {len(events)} events matches; {way_out}"
    witness = Witness(rule)
    in_windows(lambda: witness)(alone, events)
    near = witness.nearest(rule.rule.threshold, expected.group, rule.rule.group_by)
    if near is None:
        told = f"nearest: {len(matched)} of its {len(events)} events match"
        if not any(_has_group(rule, event) for event in matched):
            return f"{told}, but none has a value of {', '.join(rule.rule.group_by)}"
        return f"{told}; a {rule.rule.type} tells no score before all of its conditions hold"
    of = "" if rule.rule.threshold is None else f" of {rule.rule.threshold:g}"
    group = dict(zip(rule.rule.group_by, near.group, strict=False))
    where = _line(near.at_ms - BEGINNING_MS, group, None, "")
    return f"nearest: score {near.score:g}{of}, {where}"


def _fits(expected: Expected, change: Change) -> bool:
    alert = change.alert
    return (
        (expected.at_ms is None or change.at_ms == BEGINNING_MS + expected.at_ms)
        and all(alert.group.get(field) == value for field, value in expected.group.items())
        and (expected.score is None or alert.score == expected.score)
        and (not expected.severity or alert.severity == expected.severity)
    )


def _shown_expected(expected: Expected) -> str:
    line = _line(expected.at_ms, expected.group, expected.score, expected.severity)
    if expected.at_ms is None or expected.at in ("", at := format_duration(expected.at_ms * MS)):
        return line
    return line.replace(f"at {at}", f"at {expected.at} ({at})", 1)  # the rule's words first


def _shown(change: Change) -> str:
    alert = change.alert
    return _line(change.at_ms - BEGINNING_MS, alert.group, alert.score, alert.severity)


def _line(at_ms: int | None, group: Mapping[str, str], score: float | None, severity: str) -> str:
    parts = [
        "" if at_ms is None else f"at {format_duration(timedelta(milliseconds=at_ms))}",
        ", ".join(f"{field}: {value}" for field, value in group.items()),
        "" if score is None else f"score {score:g}",
        severity,
    ]
    return ", ".join(part for part in parts if part) or "any alert"
