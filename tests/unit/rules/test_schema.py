"""The JSON Schema of rule files: it takes what the parser takes, and knows the same keys."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.document import plain, read_documents
from tocsin.rules.load import load
from tocsin.rules.problems import Problems
from tocsin.rules.section import Section
from tocsin.rules.tools.schema import DIALECT, rule_schema

ROOT = Path(__file__).parents[3]
SCHEMA: Any = rule_schema()
DEFS = SCHEMA["$defs"]
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples"}


def wrong(value: Any, schema: Any, at: str = "") -> Iterator[str]:
    """What breaks the schema; of JSON Schema just the keywords that ours uses, any other is an error."""
    for keyword, said in schema.items():
        if keyword not in ANNOTATIONS:
            yield from CHECKS[keyword](value, said, schema, at)


def _type(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    names = [said] if isinstance(said, str) else said
    fits = [isinstance(value, TYPES[name]) and (name == "boolean" or value is not True) for name in names]
    if not any(fits) or (isinstance(value, bool) and "boolean" not in names):
        yield f"{at}: {value!r} is not {said}"


def _enum(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    if value not in said:
        yield f"{at}: {value!r} is none of {said}"


def _any_of(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    each = [[*wrong(value, one, at)] for one in said]
    if all(each):
        yield from min(each, key=len)


def _all_of(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    for one in said:
        yield from wrong(value, one, at)


def _then(value: Any, said: Any, schema: Any, at: str) -> Iterator[str]:
    if not [*wrong(value, schema["if"], at)]:
        yield from wrong(value, said, at)


def _one_of(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    if sum(not [*wrong(value, one, at)] for one in said) != 1:
        yield f"{at}: not exactly one of {said}"


def _properties(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    for key, schema in said.items():
        if isinstance(value, dict) and key in value:
            yield from wrong(value[key], schema, f"{at}/{key}")


def _additional(value: Any, said: Any, schema: Any, at: str) -> Iterator[str]:
    for key in value if isinstance(value, dict) else ():
        if key not in schema.get("properties", {}):
            yield from (
                [f"{at}: unknown key {key}"] if said is False else wrong(value[key], said, f"{at}/{key}")
            )


def _names(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    for key in value if isinstance(value, dict) else ():
        yield from wrong(key, said, f"{at}/{key}")


def _required(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    yield from (f"{at}: {key} is missing" for key in said if isinstance(value, dict) and key not in value)


def _each(value: Any, said: Any, _schema: Any, at: str) -> Iterator[str]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from wrong(item, said, f"{at}/{number}")


def _limit(value: Any, said: Any, kind: type | tuple[type, ...], holds: Any, at: str) -> Iterator[str]:
    if isinstance(value, kind) and not isinstance(value, bool) and not holds(value, said):
        yield f"{at}: {value!r} breaks {said!r}"


CHECKS: dict[str, Any] = {
    "$ref": lambda value, said, _s, at: wrong(value, DEFS[said.removeprefix("#/$defs/")], at),
    "type": _type,
    "enum": _enum,
    "const": lambda value, said, _s, at: _enum(value, [said], _s, at),
    "allOf": _all_of,
    "if": lambda _value, _said, _s, _at: (),
    "then": _then,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "required": _required,
    "items": _each,
    "pattern": lambda v, said, _s, at: _limit(v, said, str, lambda a, b: re.search(b, a), at),
    "minimum": lambda v, said, _s, at: _limit(v, said, (int, float), lambda a, b: a >= b, at),
    "maximum": lambda v, said, _s, at: _limit(v, said, (int, float), lambda a, b: a <= b, at),
    "maxItems": lambda v, said, _s, at: _limit(v, said, list, lambda a, b: len(a) <= b, at),
    "minItems": lambda v, said, _s, at: _limit(v, said, list, lambda a, b: len(a) >= b, at),
    "maxLength": lambda v, said, _s, at: _limit(v, said, str, lambda a, b: len(a) <= b, at),
}


def _documents(text: str) -> list[Any]:
    return [plain(node) for node in read_documents(text.encode(), Problems("x.yml"))]


NO_RULE = "client_with_overpermissive_granted_scopes.yml"  # its unquoted {placeholder} is a map
FILES = [
    *sorted((ROOT / "rules").rglob("*.yml")),
    *(file for file in sorted((ROOT / "tests/data/okta").glob("*.yml")) if file.name != NO_RULE),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_that_loads_is_valid(file: Path) -> None:
    for document in _documents(file.read_text()):
        assert [*wrong(document, SCHEMA)] == []


EVERYTHING = """title: all
id: 11111111-2222-4333-8444-555555555555
name: all
status: test
description: d
author: a
references: r
tags: [attack.t1110]
falsepositives: [none]
level: low
taxonomy: sigma
generate: true
logsource: {product: auth0}
detection:
    maps: [{type: fp, ip|cidr: 192.0.2.0/24}, {user_name|contains|all: [a, 1], city: null}]
    words: [a, b]
    condition: [maps, words]
tocsin:
    params:
        n: {default: 5, min: 1, max: 9, help: h}
        window: {default: 10m}
        hot: {default: high}
    category: [Login - Failure]
    correlate:
        type: value_count
        group-by: [ip]
        timespan: $window
        condition: {field: user_name, gte: $n, gt: 1, lte: 99, lt: 98, eq: 7, neq: 8}
        allow_missing: true
        generate: true
    alert:
        title: t
        severity: [{gte: $n, is: $hot}]
        resolve_after: 1h
        for: 0s
        labels: {team: a}
        runbook: r
        context: [ip]
    tests:
        - name: one
          events: [{at: 0s, repeat: 2, every: 1s, type: fp}]
          expect: [{at: 0s, group: {ip: x}, score: 5, severity: low}]
---
title: one
name: one
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
tocsin: {alert: {key: [ip]}}
---
title: counted
correlation:
    type: event_count
    rules: [one]
    group-by: [who]
    aliases: {who: {one: ip}}
    timespan: 1m
    condition: {gte: 5}
    allow_missing: true
    generate: true
tocsin: {params: {n: {set: correlation.condition.gte, max: 50}}}
---
title: office
logsource: {product: auth0}
filter: {rules: [one], o: {ip: 192.0.2.1}, condition: not o}
"""

# What the parser calls each map whose keys it knows, and where the schema has it.
KNOWN: dict[str, Any] = {
    "the rule": SCHEMA,
    "tocsin": DEFS["tocsin"],
    "tocsin.alert": DEFS["alert"],
    "severity": DEFS["alert"]["properties"]["severity"]["items"],
    'param "n"': DEFS["knob"],
    "a test": DEFS["test"],
    "an event line": DEFS["test"]["properties"]["events"]["items"],
    "an expected alert": DEFS["test"]["properties"]["expect"]["items"],
    "logsource": SCHEMA["properties"]["logsource"],
}
# Maps whose keys are a rule's own, and those of a param asked for by its name.
OWN = {"labels", "group", "params", "aliases", "who", 'param "window"', 'param "hot"', "detection", "filter"}


def test_the_schema_knows_every_key_that_the_parser_asks_for_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, set[str]] = defaultdict(set)
    read = Section.node

    def listening(section: Section, key: str) -> Any:
        asked[section.name].add(key)
        return read(section, key)

    monkeypatch.setattr(Section, "node", listening)
    (tmp_path / "all.yml").write_text(EVERYTHING)
    load([tmp_path / "all.yml"])

    counting = {"tocsin.correlate", "correlation", "condition"}
    assert asked.keys() == KNOWN.keys() | OWN | counting
    for name, schema in KNOWN.items():
        assert asked[name] == set(schema["properties"]), name


COUNTING = """title: t
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
tocsin:
    correlate: {type: %s}
"""
COMMON = {"type", "group-by", "timespan", "allow_missing", "generate"}


@pytest.mark.parametrize("name", CORRELATIONS)
def test_the_schema_knows_every_key_that_a_type_asks_for_and_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: set[str] = set()
    read = Section.node

    def listening(section: Section, key: str) -> Any:
        if section.name == "tocsin.correlate":
            asked.add(key)
        return read(section, key)

    monkeypatch.setattr(Section, "node", listening)
    (tmp_path / "one.yml").write_text(COUNTING % name)
    with suppress(RuleErrors):  # it lacks all that it needs
        load([tmp_path / "one.yml"])

    # One without a condition of its own may ask for it, to say so.
    assert asked - {"condition"} <= COMMON | CORRELATIONS[name].keys.keys()
    (document,) = _documents(COUNTING % name)
    needed = {*CORRELATIONS[name].required, *(["timespan"] if CORRELATIONS[name].timespan else [])}
    assert {line.rpartition(": ")[2] for line in wrong(document, SCHEMA)} == {
        f"{key} is missing" for key in needed
    }
    (document,) = _documents(COUNTING % f"{name}, tepy: x")
    assert any("tepy" in line for line in wrong(document, SCHEMA))


def test_a_document_with_everything_is_valid() -> None:
    assert [[*wrong(document, SCHEMA)] for document in _documents(EVERYTHING)] == [[], [], [], []]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("level: low", "level: lowest"),
        ("title: all", "titel: all"),
        ("cidr: 192", "cdir: 192"),
        ("{team: a}", "[a]"),
        ("type: value_count", "type: value_cuont"),
        ("resolve_after: 1h", "resolve_after: soon"),
        ("gte: $n, gt", "gte: -1, gt"),
        ("gte: $n, gt", "gte: true, gt"),
        ("gte: $n, gt", "get: 1, gt"),
        ("min: 1", "least: 1"),
        ("n: {default: 5", "n: {defualt: 5"),
        ("repeat: 2", "repeat: 0"),
        ("score: 5", "scores: 5"),
        ("generate: true\nlogsource", "generate: often\nlogsource"),
        ("tocsin:\n    params", "filter: {}\ntocsin:\n    params"),
        ("    words: [a, b]", "    words: {a: {b: c}}"),
        ("condition: [maps, words]", "conditions: [maps]"),
    ],
)
def test_a_mistake_is_invalid(before: str, after: str) -> None:
    assert before in EVERYTHING

    document = _documents(EVERYTHING.replace(before, after, 1))[0]

    assert [*wrong(document, SCHEMA)]


def test_an_editor_sees_most_mistakes_as_they_are_made() -> None:
    """Of the files that are YAML, and where a mistake is one of shape or spelling."""
    blocks = re.split(r"^=== ", Path(__file__).with_name("mistakes.txt").read_text(), flags=re.MULTILINE)[1:]
    seen: set[str] = set()
    readable = 0
    for block in blocks:
        name, _, text = block.partition("\n")
        problems = Problems("x.yml")
        lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(">>> "))
        documents = read_documents(lines.encode(), problems)
        readable += not problems.errors
        if not problems.errors and any([*wrong(plain(document), SCHEMA)] for document in documents):
            seen.add(name)

    assert readable > 150
    assert len(seen) > 90
    assert {"level", "group_by", "mod", "a type with a dash", "a short level", "no condition"} <= seen


def test_it_names_its_dialect_and_everything_a_person_may_write_is_described() -> None:
    described: list[bool] = []

    def walk(schema: Any) -> None:
        for key, value in schema.items() if isinstance(schema, dict) else ():
            if key == "properties":
                described.extend(
                    "'description'" in str(found) or "$ref" in found for found in value.values() if found
                )
            walk(value)

    walk(SCHEMA)
    assert SCHEMA["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert len(described) > 50
    assert described.count(False) <= 1  # logsource.product


@pytest.mark.parametrize(
    ("keys", "is_valid"),
    [
        ("type: temporal, timespan: 1m, condition: a and not b", True),
        ("type: temporal, timespan: 1m, rules: [a, b]", True),
        ("type: temporal, timespan: 1m", False),
        ("type: event_count, timespan: 1m, condition: {gte: 2}", False),
    ],
)
def test_rules_are_named_in_rules_or_in_a_text_condition(keys: str, *, is_valid: bool) -> None:
    (document,) = _documents(f"title: t\ncorrelation: {{{keys}}}\n")

    assert ([*wrong(document, SCHEMA)] == []) is is_valid
