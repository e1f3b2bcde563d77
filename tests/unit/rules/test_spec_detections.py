"""Section 1 of the rule language, where no other test says it: providers, unknown keys, long subjects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import RuleSet
from tocsin.rules.detection.regex import compile_search
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

from .conftest import does_match

LoadText = Callable[..., RuleSet]
Mistakes = Callable[..., list[str]]


def _rule(product: str, selection: str) -> str:
    return f"title: t\nlogsource: {{product: {product}}}\ndetection: {{s: {selection}, condition: s}}\n"


@pytest.mark.parametrize(
    ("product", "provider", "record", "matches"),
    [
        ("auth0", "auth0", {"u": "x"}, True),
        ("Auth0", "auth0", {"u": "x"}, True),
        ("frontegg", "frontegg", {"u": "x"}, False),
        ("frontegg", "frontegg", {"data.u": "x"}, True),
        ("auth0", "auth0", {"data.u": "x"}, False),
    ],
)
def test_a_leading_data_is_stripped_for_auth0_alone(
    load_text: LoadText, product: str, provider: str, record: dict[str, object], matches: bool
) -> None:
    assert does_match(load_text(_rule(product, "{data.u: x}")), record, provider) is matches


def test_only_one_leading_data_is_stripped(load_text: LoadText) -> None:
    ruleset = load_text(_rule("auth0", "{data.data.u: x}"))

    assert does_match(ruleset, {"type": "x", "data": {"u": "x"}})
    assert not does_match(ruleset, {"type": "x", "u": "x"})


@pytest.mark.parametrize("written", ["data.details.why", "details.why"])
def test_one_rule_serves_records_of_log_streams_and_of_the_management_api(
    load_text: LoadText, written: str
) -> None:
    rules = load_text(_rule("auth0", f"{{data.type: fp, {written}: locked}}"))
    record = {"type": "fp", "date": "2026-01-01T00:00:00.000Z", "details": {"why": "Locked"}}
    lines = [
        {"log_id": "stream", "data": {"log_id": "stream", **record}},
        {"log_id": "management", **record},
        {"log_id": "other", **record, "details": {"why": "unlocked"}},
    ]
    body = b"\n".join(map(msgspec.json.encode, lines))
    events, bad = Decoder(rules.fields).decode_lines(body, first_line=1, now_ms=None)

    triggers = Engine(rules, MemoryWindows(), MemoryEvidence()).process("", events, committed_ms=NEVER_MS)

    assert not bad
    assert [event.id for trigger in triggers for event in trigger.events] == ["stream", "management"]


def test_keys_that_nobody_knows_are_tolerated_outside_of_correlation_and_tocsin(load_text: LoadText) -> None:
    text = _rule("auth0", "{type: fp}").replace("product: auth0", "product: auth0, definition: all logs")

    ruleset = load_text(
        f"{text}custom: {{a: [1, 2]}}\nscope: [server]\nlicense: MIT\nmodified: 2026-01-01\nfields: [ip]\n"
    )

    assert len(ruleset.rules) == 1
    assert ruleset.warnings == ()


COUNTED = "tocsin: {%scorrelate: {type: event_count, timespan: 1h, condition: {gte: 2%s}%s}%s}\n"


@pytest.mark.parametrize(
    "parts",
    [
        ("custom: 1, ", "", "", ""),
        ("", ", custom: 1", "", ""),
        ("", "", ", custom: 1", ""),
        ("", "", "", ", alert: {custom: 1}"),
        ("", "", "", ", params: {p: {default: 1, custom: 1}}"),
        ("", "", "", ", tests: [{name: n, events: [], expect: [], custom: 1}]"),
        ("", "", "", ", alert: {severity: [{gte: 9, is: high, custom: 1}]}"),
    ],
)
def test_a_key_that_nobody_knows_is_a_mistake_wherever_it_stands_in_our_key(
    mistakes: Mistakes, parts: tuple[str, str, str, str]
) -> None:
    (told,) = mistakes(_rule("auth0", "{type: fp}") + COUNTED % parts)

    assert 'unknown key "custom" in ' in told


@pytest.mark.parametrize("keys", ["custom: 1", "condition: {gte: 2, custom: 1}"])
def test_a_key_that_nobody_knows_is_a_mistake_in_a_correlation(mistakes: Mistakes, keys: str) -> None:
    condition = "" if keys.startswith("condition") else "condition: {gte: 2}, "
    (told,) = mistakes(
        "title: c\ncorrelation: {type: event_count, rules: [r], timespan: 1h, "
        f"{condition}{keys}}}\n---\nname: r\n" + _rule("auth0", "{type: fp}")
    )

    assert 'unknown key "custom" in ' in told


LONG = "a" * 65_535


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", f"{LONG}ab", True),
        ("a$", f"{LONG}ab", False),
        ("(?=b)b", f"{LONG}b", True),
        ("(?=b)b", f"{LONG}ab", False),
    ],
    ids=["all of it", "its end is its end", "up to 64 Ki on re", "no further on re"],
)
def test_an_expression_sees_all_of_a_text_but_where_it_must_run_on_re(
    load_text: LoadText, pattern: str, text: str, found: bool
) -> None:
    rules = load_text(_rule("auth0", f"{{u|re: '{pattern}'}}"), trusted=["t"])

    assert does_match(rules, {"type": "x", "u": text}) is found


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", "a{1001}"],
)
def test_what_re2_refuses_runs_nowhere_but_in_a_trusted_rule(pattern: str) -> None:
    assert not callable(compile_search(pattern, "", trusted=False))
    assert callable(compile_search(pattern, "", trusted=True))


def test_a_name_that_is_one_files_own_is_no_other_files(tmp_path: Path) -> None:
    """As in the catalogue whose eight base rules are all called the same: each file means its own."""
    base = f"name: selected_events\n{_rule('auth0', '{type: CODE}')}"
    above = "title: FILE\ncorrelation: {type: event_count, rules: [selected_events], timespan: 1h, "
    for name, code in (("one", "fp"), ("two", "fu"), ("three", "f")):
        text = f"{base}---\n{above}condition: {{gte: 2}}}}\n".replace("CODE", code).replace("FILE", name)
        (tmp_path / f"{name}.yml").write_text(text)

    ruleset = load_rules([tmp_path])

    assert {rule.rule.name: set(rule.matchers[0].codes or ()) for rule in ruleset.rules} == {
        "one": {"fp"},
        "two": {"fu"},
        "three": {"f"},
    }
    assert ruleset.warnings == ()
