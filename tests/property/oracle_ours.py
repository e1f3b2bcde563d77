"""The program's side of the differential tests: rules as documents, records as a vendor sends them.

What a rule says of a stream is read where replay hands it on: the instants that `Alerts` would fold,
before there are episodes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from tocsin.catalog.provider import PROVIDERS
from tocsin.clock import EPOCH, MS, iso
from tocsin.engine import Engine
from tocsin.errors import RuleErrors
from tocsin.model.alert import NEVER_MS, Change, Triggers
from tocsin.model.compiled import Matcher, RuleSet
from tocsin.model.event import Event, event_type
from tocsin.model.fed import VALUE_SEPARATOR
from tocsin.protocols import Windows
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Replay

Record = dict[str, Any]
Document = dict[str, Any]
Group = tuple[str, ...]

BASE_MS = 1_700_000_000_000
LATENESS = timedelta(seconds=60)


# How many times the usual number of random cases: `ORACLE=10 pytest tests/property/test_oracle_*.py`.
ROUNDS = float(os.environ.get("ORACLE", "1"))


def seeds(count: int) -> range:
    """So many seeds, or more of them."""
    return range(int(count * ROUNDS))


class Refused(NamedTuple):
    """The rule has mistakes; the first of them."""

    reason: str


class Instant(NamedTuple):
    """A rule was true for a group; `at_ms` counts from `BASE_MS`, texts of the group are case-folded."""

    rule: str
    group: Group
    at_ms: int


def load(
    folder: Path, documents: Sequence[Document], *, lists: Mapping[str, Path] | None = None
) -> RuleSet | Refused:
    """The rules, from one file. JSON is YAML in which every text is quoted."""
    file = folder / "rules.yml"
    file.write_text("\n---\n".join(json.dumps(document) for document in documents))
    try:
        return load_rules([file], lists=lists, trusted=["*"])
    except RuleErrors as refusal:
        return Refused(str(refusal.errors[0]).partition(": ")[2])


def answers(rules: RuleSet, records: Iterable[Mapping[str, Any]]) -> list[bool]:
    """Whether the only rule matches each record, one by one, through its index and its predicate."""
    [rule] = rules.rules
    [matcher] = rule.matchers
    return matched(matcher, rules.fields, records)


def matched(matcher: Matcher, fields: frozenset[str], records: Iterable[Mapping[str, Any]]) -> list[bool]:
    """Whether a detection matches each record."""
    kind, found = event_type(fields), []
    provider = PROVIDERS.get(matcher.product)
    code_field = provider.code_field if provider else "type"
    for record in records:
        raw = msgspec.json.encode(record)
        event = msgspec.json.decode(raw, type=kind)
        event.provider, event.raw, event.code = matcher.product, raw, record.get(code_field) or ""
        indexed = matcher.codes is None or event.code in matcher.codes
        found.append(indexed and (matcher.matches is None or matcher.matches(event)))
    return found


def enveloped(record: Mapping[str, Any], number: int = 0) -> Record:
    """The record as its vendor sends it: `at_ms` and `log_id` are ours, or made of its number."""
    at_ms = BASE_MS + record.get("at_ms", number)
    return {"log_id": f"id{number}", **record, "date": iso(at_ms), "tenant_name": "acme"}


class Recorder:
    """Stands where alerts are folded, and writes down what comes."""

    def __init__(self) -> None:
        self.instants: set[Instant] = set()
        self.events: set[tuple[str, str]] = set()  # (rule, event id)

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:
        for found in triggers:
            group = group_of(found.group)
            self.instants |= {Instant(found.rule.name, group, at - BASE_MS) for at, _ in found.instants}
            self.events |= {(found.rule.name, event.id) for event in found.events}
        return []

    def close(self, tenant: str, watermark_ms: int) -> list[Change]:
        return []


def group_of(key: str) -> Group:
    """A group key as its values."""
    return tuple(key.split(VALUE_SEPARATOR)) if key else ()


class Run(Protocol):
    """A way through the engine."""

    def __call__(
        self,
        rules: RuleSet,
        batches: Iterable[Sequence[Mapping[str, Any]]],
        *,
        windows: Callable[[], Windows] = MemoryWindows,
        until_ms: int | None = None,
        lateness: timedelta = LATENESS,
    ) -> Recorder:
        """What these rules say of this stream. `until_ms`, from `BASE_MS`, is where its event time ends."""


def run(
    rules: RuleSet,
    batches: Iterable[Sequence[Mapping[str, Any]]],
    *,
    windows: Callable[[], Windows] = MemoryWindows,
    until_ms: int | None = None,
    lateness: timedelta = LATENESS,
) -> Recorder:
    """By replay, which keeps every member of a window."""
    recorder = Recorder()
    replay = Replay(rules, windows(), lateness=lateness, alerts=recorder)  # type: ignore[arg-type]
    for events in decoded(rules, batches):
        replay.feed(events)
    replay.finish(None if until_ms is None else BASE_MS + until_ms)
    return recorder


def run_live(
    rules: RuleSet,
    batches: Iterable[Sequence[Mapping[str, Any]]],
    *,
    windows: Callable[[], Windows] = MemoryWindows,
    until_ms: int | None = None,
    lateness: timedelta = LATENESS,
) -> Recorder:
    """As the service does: it keeps what thresholds need, and does a third of the batches again."""
    recorder, watermark_ms, newest_ms = Recorder(), NEVER_MS, NEVER_MS
    engine = Engine(rules, windows(), MemoryEvidence())

    def step(events: list[Event], passed_ms: int) -> None:
        for _ in range(2 if len(events) % 3 == 0 else 1):
            recorder.fold(engine.process("acme", events, committed_ms=watermark_ms), now=EPOCH)
            due = engine.due("acme", watermark_ms=passed_ms, committed_ms=watermark_ms)
            recorder.fold(due, now=EPOCH)
        engine.sweep("acme", committed_ms=passed_ms)

    for events in decoded(rules, batches):
        newest_ms = max(newest_ms, *(event.time_ms for event in events))
        passed_ms = newest_ms - lateness // MS
        step(events, passed_ms)
        watermark_ms = passed_ms
    step([], BASE_MS + until_ms if until_ms else newest_ms + lateness // MS + 1)
    return recorder


def spelled(record: Mapping[str, Any], number: int) -> bytes:
    """The record as JSON: as most do, with spaces and some escapes, or with every letter escaped."""
    match number % 3:
        case 0:
            return msgspec.json.encode(record)
        case 1:
            return json.dumps(record, separators=(" , ", " : ")).encode()
        case _:
            return _escaped(record).encode()


def _escaped(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_escaped(key)}:{_escaped(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_escaped, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'
    return json.dumps(value)


def decoded(rules: RuleSet, batches: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[list[Event]]:
    """The batches as events."""
    decoder, number = Decoder(rules.fields), 0
    for batch in batches:
        sent = [enveloped(record, number + place) for place, record in enumerate(batch)]
        lines = b"\n".join(spelled(record, number + place) for place, record in enumerate(sent))
        events, bad = decoder.decode_lines(lines, first_line=1, now_ms=None)
        assert not bad, bad
        number += len(batch)
        yield events
