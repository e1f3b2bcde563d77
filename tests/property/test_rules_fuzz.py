"""Whatever a rule file holds, loading it raises nothing but `RuleErrors`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.errors import RuleErrors
from tocsin.model.compiled import RuleSet
from tocsin.model.event import event_type
from tocsin.rules.detection.modifiers import MODIFIERS
from tocsin.rules.load import load_rules

SEED = """\
title: Many failed logins
id: 0b3c1a52
name: failed
status: stable
logsource: {product: auth0}
detection:
    failed: {data.type: [fp, fu], data.details.x|contains|all: [a, 'b*']}
    ours: {data.ip|cidr: 192.0.2.0/24, u|re: '^a.c$', when|hour: 3}
    words: [evil, 'ba?d']
    condition: failed and not ours or 1 of wor*
level: high
tags: [attack.t1110]
tocsin:
    params: {threshold: {default: 20, min: 2, max: 50}, window: {default: 10m}}
    category: Login - Failure
    correlate:
        type: event_count
        group-by: [data.ip]
        timespan: $window
        condition: {gte: $threshold}
    alert:
        title: '{{ score }} in {{ timespan }}'
        severity: [{gte: 200, is: critical}]
        resolve_after: 10m
        for: 0s
        labels: {team: identity}
        context: [data.user_name]
    tests:
        - {name: x, events: [{at: 0s, repeat: 2, every: 20s, type: fp}], expect: [{at: 1s, group: {a: b}}]}
---
title: over it
correlation:
    type: value_count
    rules: [failed]
    aliases: {who: {failed: ip}}
    group-by: [who]
    timespan: 1h
    condition: {gt: 2, lte: 9, field: data.user_name}
"""
LINES = SEED.splitlines(keepends=True)
MARKS = [
    "|",
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "*",
    "&a",
    "!!int",
    "'",
    '"',
    "\t",
    "\0",
    "\ufeff",
    "---\n",
    "(",
    ")",
    "{{",
]
ODD = ["$x", "%y%", "null", "~", "1e999", "0x", ".inf", "9" * 40, "-1", "not ", "of them", "\\ud800", "\x85"]
WORDS = [*MODIFIERS, *MARKS, *ODD, "condition"]


def loads(text: str | bytes) -> RuleSet | None:
    """The rule set, or None for a file with mistakes; the decoder can hold its fields."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rule.yml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        try:
            ruleset = load_rules([file])
        except RuleErrors as exc:
            found = exc.errors
        else:
            event_type(ruleset.fields)
            return ruleset
    assert found
    assert all(error.line >= 1 and error.column >= 1 for error in found)
    return None


def test_the_seed_itself_loads() -> None:
    assert loads(SEED) is not None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_rule_file_with_a_few_edits_loads_or_tells_its_mistakes(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        at = data.draw(st.integers(0, len(line)))
        match data.draw(st.sampled_from(["drop", "insert", "swap", "cut"])):
            case "drop":
                lines[number] = "\n"
            case "insert":
                lines[number] = line[:at] + data.draw(st.sampled_from(WORDS)) + line[at:]
            case "swap":
                lines[number] = data.draw(st.sampled_from(LINES))
            case _:
                lines[number] = line[:at] + "\n"

    loads("".join(lines))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
plain_scalars = scalars | st.sampled_from(["10m", "failed", "data.ip", "any", "event_count", "gte"])
trees = st.recursive(
    plain_scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["type", "u|re", "u|cidr"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
KEYS: dict[str, Any] = {
    "title": "t", "id": "i", "name": "n", "level": "high", "logsource": {"product": "auth0"}, "tags": ["a"],
    "generate": True, "taxonomy": "sigma",
}  # fmt: skip
DETECTION = ["a", "b", "condition", "timeframe"]
CORRELATION = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate", "allow_missing"]
TOCSIN = ["params", "category", "correlate", "alert", "tests"]
ALERT = ["title", "severity", "resolve_after", "for", "key", "labels", "runbook", "context"]


def _map(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=3), trees, max_size=5)


documents = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.just(value) | trees for key, value in KEYS.items()},
        "detection": _map(DETECTION) | trees,
        "correlation": _map(CORRELATION) | trees,
        "filter": _map(["rules", *DETECTION]) | trees,
        "tocsin": st.fixed_dictionaries(
            {},
            optional={**dict.fromkeys(TOCSIN, trees), "alert": _map(ALERT), "correlate": _map(CORRELATION)},
        ),
    },
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(documents, min_size=1, max_size=3))
def test_documents_of_the_right_keys_and_any_values_load_or_tell_their_mistakes(some: list[Any]) -> None:
    loads("\n---\n".join(json.dumps(document) for document in some))


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_bytes_load_or_tell_their_mistakes(data: bytes) -> None:
    loads(data)
