"""Events in, triggers out: what the engine asks of its stores, and what it makes of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin import telemetry
from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS, Triggers
from tocsin.model.compiled import CompiledRule, Matcher, RuleSet
from tocsin.model.event import Event
from tocsin.model.rule import Rule
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

HEAD = "logsource: {product: auth0}\nlevel: high\n"
FAILED = "detection: {failed: {data.type: [fp, fu]}, condition: failed}\n"


def _count(name: str, correlate: str, detection: str = FAILED) -> str:
    return f"title: {name}\nname: {name}\n{HEAD}{detection}tocsin:\n    correlate: {correlate}\n"


def _rules(tmp_path: Path, *texts: str) -> RuleSet:
    path = tmp_path / "rules.yml"
    path.write_text("---\n".join(texts))
    return load_rules([path])


def _events(rules: RuleSet, *records: dict[str, Any]) -> list[Event]:
    made = [
        {"log_id": f"e{n}", "date": f"2026-01-01T00:00:{n:02d}.000Z", "tenant_name": "acme", **record}
        for n, record in enumerate(records)
    ]
    lines = b"\n".join(map(msgspec.json.encode, made))
    events, bad = Decoder(rules.fields).decode_lines(lines, first_line=1, now_ms=None)
    assert not bad
    return events


def _process(rules: RuleSet, events: list[Event]) -> list[Triggers]:
    engine = Engine(rules, MemoryWindows(), MemoryEvidence())
    return engine.process("acme", events, committed_ms=NEVER_MS)


def test_a_plain_detection_is_true_at_every_match(tmp_path: Path) -> None:
    rules = _rules(
        tmp_path,
        f"title: t\nname: throttled\n{HEAD}detection: {{seen: {{data.type: limit_mu}}, condition: seen}}\n"
        "tocsin: {alert: {key: [data.ip]}}\n",
    )
    events = _events(rules, {"type": "limit_mu", "ip": "A"}, {"type": "fp"}, {"type": "limit_mu", "ip": "a"})

    (trigger,) = _process(rules, events)

    assert (trigger.group, [score for _, score in trigger.instants]) == ("a", [1.0, 1.0])
    assert [event.id for event in trigger.events] == ["e0", "e2"]


def test_a_count_is_true_from_its_threshold_on_and_groups_fold_case(tmp_path: Path) -> None:
    rules = _rules(
        tmp_path, _count("r", "{type: event_count, group-by: [data.ip], timespan: 10s, condition: {gte: 2}}")
    )
    ips = ["A", "b", "a", "A"]

    (trigger,) = _process(rules, _events(rules, *({"type": "fp", "ip": ip} for ip in ips)))

    assert trigger.group == "a"
    assert [score for _, score in trigger.instants] == [2, 3]


def test_numbers_and_booleans_group_as_the_text_they_are_and_not_as_each_other(tmp_path: Path) -> None:
    rules = _rules(
        tmp_path, _count("r", "{type: event_count, group-by: [data.ip], timespan: 10s, condition: {gte: 1}}")
    )

    found = _process(rules, _events(rules, *({"type": "fp", "ip": ip} for ip in (1, True, "1", ["x"], 1.0))))

    assert {t.group: len(t.events) for t in found} == {"1": 2, "true": 1, '["x"]': 1, "1.0": 1}


def test_an_event_without_the_group_is_left_out_and_counted(tmp_path: Path) -> None:
    rules = _rules(
        tmp_path,
        _count("lost", "{type: event_count, group-by: [data.ip], timespan: 9s, condition: {gte: 1}}"),
    )
    counter = telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule="lost")
    before = counter._value.get()

    found = _process(
        rules, _events(rules, {"type": "fp"}, {"type": "fp", "ip": ""}, {"type": "fp", "ip": None})
    )

    assert found == []
    assert counter._value.get() - before == 3


def test_rules_that_group_alike_each_count_what_they_could_not_group(tmp_path: Path) -> None:
    correlate = "{type: event_count, group-by: [data.ip], timespan: 9s, condition: {gte: 1}}"
    rules = _rules(tmp_path, _count("one", correlate), _count("two", correlate.replace("9s", "8s")))
    counters = [telemetry.OBSERVATIONS_WITHOUT_GROUP.labels(rule=name) for name in ("one", "two")]
    before = [counter._value.get() for counter in counters]

    _process(rules, _events(rules, {"type": "fp"}))

    assert [c._value.get() - b for c, b in zip(counters, before, strict=True)] == [1, 1]


def test_an_event_that_two_referenced_rules_match_counts_once(tmp_path: Path) -> None:
    def base(name: str, selection: str) -> str:
        return f"title: {name}\nname: {name}\n{HEAD}detection: {{seen: {{{selection}}}, condition: seen}}\n"

    rules = _rules(
        tmp_path,
        base("first", "data.type: fp"),
        base("second", "data.ip: a"),
        "title: both\nname: both\nlevel: high\ncorrelation:\n    type: event_count\n"
        "    rules: [first, second]\n    group-by: [data.ip]\n    timespan: 10s\n    condition: {gte: 1}\n",
    )

    (trigger,) = _process(rules, _events(rules, {"type": "fp", "ip": "a"}, {"type": "fu", "ip": "a"}))

    assert [score for _, score in trigger.instants] == [1, 2]


def test_an_event_that_misses_a_counted_value_neither_counts_nor_triggers(tmp_path: Path) -> None:
    condition = "{gte: 1, field: [data.user_name, data.client_id]}"
    rules = _rules(
        tmp_path,
        _count("r", f"{{type: value_count, group-by: [data.ip], timespan: 10s, condition: {condition}}}"),
    )
    records = [
        {"type": "fp", "ip": "a", "user_name": "ann"},
        {"type": "fp", "ip": "a", "user_name": "ann", "client_id": "c"},
    ]

    (trigger,) = _process(rules, _events(rules, *records))

    assert [score for _, score in trigger.instants] == [1]


def _breaks(event: Event) -> bool:
    raise TypeError(event.id)


def test_a_rule_that_breaks_on_an_event_is_that_rules_trouble_alone() -> None:
    def compiled(name: str, matches: Any) -> CompiledRule:
        rule = Rule(name=name, id=name, title=name, severity="low")
        return CompiledRule(rule, (Matcher(name, "auth0", None, matches),))

    rules = RuleSet((compiled("broken", _breaks), compiled("sound", lambda _: True)))
    errors = telemetry.RULE_ERRORS.labels(rule="broken")
    before = errors._value.get()

    found = _process(rules, _events(rules, {"type": "fp"}))

    assert [trigger.rule.name for trigger in found] == ["sound"]
    assert errors._value.get() - before == 1


@pytest.mark.parametrize("provider", ["frontegg", ""])
def test_a_rule_sees_only_events_of_its_product(tmp_path: Path, provider: str) -> None:
    rules = _rules(
        tmp_path, f"title: t\nname: t\n{HEAD}detection: {{seen: {{data.type: fp}}, condition: seen}}\n"
    )
    events = _events(rules, {"type": "fp"})
    for event in events:
        event.provider = provider

    assert _process(rules, events) == []


def test_windows_that_close_are_true_when_the_watermark_has_passed_them(tmp_path: Path) -> None:
    rules = _rules(
        tmp_path,
        _count("few", "{type: event_count, group-by: [data.ip], timespan: 10s, condition: {lte: 2}}"),
    )
    engine = Engine(rules, MemoryWindows(), MemoryEvidence())
    events = _events(rules, {"type": "fp", "ip": "a"}, {"type": "fp", "ip": "a"})
    opened = events[0].time_ms
    assert engine.process("acme", events, committed_ms=NEVER_MS) == []
    assert engine.due("acme", watermark_ms=opened + 10_000, committed_ms=NEVER_MS) == []

    (trigger,) = engine.due("acme", watermark_ms=opened + 10_001, committed_ms=NEVER_MS)

    assert trigger.instants == [(opened + 10_000, 2)]
