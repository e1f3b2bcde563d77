"""The `tests` inside a rule: events to replay, and the alerts to expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tocsin.catalog.provider import PROVIDERS
from tocsin.model.rule import SEVERITIES
from tocsin.rules.document import plain
from tocsin.rules.problems import Mark, did_you_mean
from tocsin.rules.section import Section

MOST_EVENTS = 100_000  # of one line of events
_OF_AN_EVENT = dict.fromkeys(("at", "every", "repeat", "provider"), "each of its events")


@dataclass(frozen=True, slots=True)
class EventLine:
    """`repeat` events, the first `at_ms` after the test's beginning, one `every_ms`.

    `record` is the vendor's record; `{n}` in its texts is 1 for the first, 2 for the second.
    `provider` says whose it is; empty: the one that the rule reads, an ECS document for a rule of any.
    """

    at_ms: int
    repeat: int
    every_ms: int
    record: Mapping[str, Any]
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that opens `at_ms` after the beginning (`at`: as written). None or empty: not compared."""

    at_ms: int | None = None
    group: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    severity: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of one rule."""

    name: str
    file: str
    mark: Mark
    events: tuple[EventLine, ...]
    expect: tuple[Expected, ...]


def read_cases(section: Section) -> tuple[Case, ...]:
    """The cases of a `tocsin` section."""
    return tuple(_case(within) for within in section.sections("tests", "a test"))


def _case(section: Section) -> Case:
    name = section.text("name")
    if not name:
        section.problems.error(section.mark, "the test has no name; say what it shows")
    if "expect" not in section.table.entries:
        section.problems.error(section.mark, "the test has no expect; write [] where no alert may open")
    events = tuple(_events(within) for within in section.sections("events", "an event line"))
    expect = tuple(_expected(within) for within in section.sections("expect", "an expected alert"))
    section.done(_OF_AN_EVENT)
    return Case(name, section.problems.file, section.mark, events, expect)


def _events(section: Section) -> EventLine:
    at_ms, every_ms = section.duration_ms("at"), section.duration_ms("every")
    repeat = _whole(section, "repeat")
    if repeat > 1 and every_ms is None:
        section.problems.error(
            section.mark, "repeat needs every; write the time between two events, like 20s"
        )
    provider = section.text("provider")
    if provider and provider not in PROVIDERS:
        section.wrong("provider", f'unknown provider "{provider}"; {did_you_mean(provider, PROVIDERS)}')
    record = {key: plain(entry.node) for key, entry in section.rest()}
    return EventLine(at_ms or 0, repeat, every_ms or 0, record, provider)


def _whole(section: Section, key: str) -> int:
    number = section.number(key)
    if number is None:
        return 1
    if number != int(number) or not 1 <= number <= MOST_EVENTS:
        section.wrong(key, f"{key} must be a whole number from 1 to {MOST_EVENTS}")
        return 1
    return int(number)


def _expected(section: Section) -> Expected:
    severity = section.text("severity")
    if severity and severity not in SEVERITIES:
        section.wrong("severity", f'unknown severity "{severity}"; {did_you_mean(severity, SEVERITIES)}')
    at_ms = section.duration_ms("at")
    at = "" if at_ms is None else section.text("at")
    found = Expected(at_ms, section.text_map("group"), section.number("score"), severity, at)
    section.done()
    return found
