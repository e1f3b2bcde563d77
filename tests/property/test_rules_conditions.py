"""Conditions and selections against a naive reading of the same detection, event by event.

The naive reader knows no codes, no closures and no order of tests: it walks the condition and looks
every value up in the plain record.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.model.compiled import Matcher
from tocsin.model.event import Event, event_type
from tocsin.rules.detection import tree
from tocsin.rules.load import load_rules

# Names that a pattern can take apart; `_hidden` is outside of `them`.
NAMES = ("sel_a", "sel_b", "other", "_hidden")
FIELDS = ("type", "ip", "details.k", "list")
VALUES = ("fp", "FU", "x")
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A condition's text and its naive reading, given what each selection says."""

    text: str
    reads: Callable[[Mapping[str, bool]], bool]


def _name(name: str) -> Condition:
    return Condition(name, lambda truth: truth[name])


def _quantified(word: str, pattern: str) -> Condition:
    def chosen(truth: Mapping[str, bool]) -> list[bool]:
        prefix = "" if pattern == "them" else pattern.rstrip("*")
        return [truth[name] for name in NAMES if name.startswith(prefix) and (prefix or name[0] != "_")]

    joined = all if word == "all" else any
    return Condition(f"{word} of {pattern}", lambda truth: joined(chosen(truth)))


def _not(inner: Condition) -> Condition:
    return Condition(f"not ({inner.text})", lambda truth: not inner.reads(truth))


def _binary(word: str, left: Condition, right: Condition) -> Condition:
    joined = all if word == "and" else any
    return Condition(
        f"({left.text}) {word} ({right.text})", lambda truth: joined([left.reads(truth), right.reads(truth)])
    )


def _bare(word: str, parts: list[Condition]) -> Condition:
    """A chain without brackets of names or negated names: precedence is the parser's to know."""
    joined = all if word == "and" else any
    return Condition(
        f" {word} ".join(part.text for part in parts),
        lambda truth: joined([part.reads(truth) for part in parts]),
    )


names = st.sampled_from(NAMES).map(_name)
leaves = names | st.builds(
    _quantified, st.sampled_from(["1", "any", "all"]), st.sampled_from(["them", "sel_*", "_*"])
)
negated = names.map(lambda one: Condition(f"not {one.text}", lambda truth: not one.reads(truth)))
ands = st.lists(names | negated, min_size=1, max_size=3).map(lambda parts: _bare("and", parts))
chains = st.lists(ands, min_size=1, max_size=3).map(lambda parts: _bare("or", parts))
conditions = st.recursive(
    leaves | chains,
    lambda inner: st.builds(_not, inner) | st.builds(_binary, st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=8,
)
items = st.dictionaries(
    st.sampled_from(FIELDS),
    st.lists(st.sampled_from([*VALUES, None]), min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)
selections = st.fixed_dictionaries(dict.fromkeys(NAMES, items))
scalar = st.sampled_from(["fp", "fu", "FP", "X", "y", "", None])
records = st.fixed_dictionaries(
    {},
    optional={
        "type": scalar,
        "ip": scalar,
        "details": st.fixed_dictionaries({}, optional={"k": scalar}),
        "list": st.lists(scalar, max_size=3),
    },
)


def naive_item(field: str, wanted: list[str | None], record: Record) -> bool:
    value: Any = record
    for step in field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    members = value if isinstance(value, list) else [value]
    for member, one in itertools.product(members, wanted):
        if (member is None and one is None) or (
            member is not None and one is not None and member.casefold() == one.casefold()
        ):
            return True
    return False


def naive(condition: Condition, chosen: Mapping[str, dict[str, list[str | None]]], record: Record) -> bool:
    truth = {
        name: all(naive_item(field, wanted, record) for field, wanted in fields.items())
        for name, fields in chosen.items()
    }
    return condition.reads(truth)


def compiled(condition: Condition, chosen: Mapping[str, Any]) -> tuple[Matcher, frozenset[str]]:
    document = {
        "title": "t",
        "logsource": {"product": "auth0"},
        "detection": {**chosen, "condition": condition.text},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rule.yml"
        file.write_text(json.dumps(document))
        ruleset = load_rules([file])
    return ruleset.rules[0].matchers[0], ruleset.fields


def event_of(record: Record, fields: frozenset[str]) -> Event:
    raw = json.dumps(record).encode()
    event = msgspec.json.decode(raw, type=event_type(fields))
    event.provider, event.raw, event.code = "auth0", raw, record.get("type") or ""
    return event


def matches(matcher: Matcher, event: Event) -> bool:
    if matcher.codes is not None and event.code not in matcher.codes:
        return False
    return matcher.matches is None or matcher.matches(event)


def check(condition: Condition, chosen: Mapping[str, Any], some: list[Record]) -> None:
    matcher, fields = compiled(condition, chosen)
    for record in some:
        assert matches(matcher, event_of(record, fields)) is naive(condition, chosen, record), record


@settings(max_examples=400, deadline=None)
@given(conditions, selections, st.lists(records, min_size=1, max_size=12))
def test_index_and_closures_say_what_the_condition_says(
    condition: Condition, chosen: dict[str, Any], some: list[Record]
) -> None:
    check(condition, chosen, some)


PLANTED = [
    ("_any", lambda parts: parts[0]),
    ("_all", lambda parts: parts[-1]),
    ("_not", lambda inner: inner),
    ("_codes", lambda one: frozenset({"fp"})),
    ("_undecided", lambda one: None),
]


@pytest.mark.parametrize(("name", "mistake"), PLANTED)
def test_the_law_above_finds_a_planted_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(tree, name, mistake)

    @settings(
        max_examples=400,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(conditions, selections, st.lists(records, min_size=1, max_size=12))
    def law(condition: Condition, chosen: dict[str, Any], some: list[Record]) -> None:
        check(condition, chosen, some)

    with pytest.raises(AssertionError):
        law()
