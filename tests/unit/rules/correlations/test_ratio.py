"""`ratio`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.ratio import RATIO

from .shorthand import Told, page_outcomes, rule, state_of, warned

HEAD = rule(
    "{type: ratio, of: failed, over: failed or ok, group-by: [data.client_name], timespan: 10m, CONDITION}"
)
PART = "{type: ratio, KEYS, group-by: [data.client_name], timespan: 10m, condition: {gte: 0.8, min_count: 5}}"
NEEDED = "a condition over selections, like of: failed, over: failed or ok"
UNQUOTED = "an unquoted {…} is a map in YAML, put it in quotes"


def with_condition(text: str) -> str:
    return HEAD.replace("CONDITION", f"condition: {text}" if text else "generate: false")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("over: ok", f"a ratio needs of, {NEEDED}"),
        ("of: failed", f"a ratio needs over, {NEEDED}"),
        ("of: [failed], over: ok", "of must be a condition over selections; this is a list"),
        ("of: {a: b}, over: ok", f"of must be a condition over selections; {UNQUOTED}"),
        ("of: faild, over: ok", 'condition: unknown selection "faild"; did you mean "failed"?'),
        ("of: '', over: ok", "condition: it is empty; name a selection"),
        ("of: failed, over: (failed or ok", 'condition: this "(" is never closed; add ")"'),
        ("of: failed, over: ok, ovr: ok", 'unknown key "ovr" in tocsin.correlate; did you mean "over"?'),
    ],
)  # fmt: skip
def test_a_mistake_in_its_parts_is_told(told: Told, keys: str, message: str) -> None:
    assert told(rule(PART.replace("KEYS", keys))) == [message]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "a correlation needs a condition, like {gte: 0.8, min_count: 50}"),
        ("{min_count: 5}", "the condition compares with nothing; write {gte: 0.8, min_count: 50}"),
        ("{gte: 80, min_count: 5}", "a ratio is from 0 to 1, not 80; write 0.8"),
        ("{gte: 800, min_count: 5}", "a ratio is from 0 to 1, not 800"),
        ("{gte: -1, min_count: 5}", "a ratio is from 0 to 1, not -1"),
        ("{gte: 80%, min_count: 5}", "gte must be a number, not '80%'"),
        ("{gt: 1, min_count: 5}", "no ratio can meet this condition; check its numbers"),
        ("{lt: 0, min_count: 5}", "no ratio can meet this condition; check its numbers"),
        ("{gte: 0.6, lt: 0.5, min_count: 5}", "no ratio can meet this condition; check its numbers"),
        ("{gte: 0.8, min_count: 0}", "min_count must be a whole number from 1 to 8000, not 0"),
        ("{gte: 0.8, min_count: 2.5}", "min_count must be a whole number from 1 to 8000, not 2.5"),
        ("{gte: 0.8, min_count: 9000}", "min_count must be a whole number from 1 to 8000, not 9000"),
        ("{gte: 0.8, min_count: many}", "min_count must be a number, not 'many'"),
        ("{gte: 0.8, mincount: 5}", 'unknown key "mincount" in condition; did you mean "min_count"?'),
        ("{gte: 0.8, min_count: 5, field: data.ip}",
         'unknown key "field" in condition; known are eq, gt, gte, lt, lte, min_count, neq'),
    ],
)  # fmt: skip
def test_a_mistake_in_its_condition_is_told(told: Told, condition: str, message: str) -> None:
    assert told(with_condition(condition)) == [message]


def test_a_rule_of_another_document_is_no_ratio(told: Told) -> None:
    text = "title: t\ncorrelation: {type: ratio, rules: [a], timespan: 1m}\n"

    assert told(text)[0].startswith("ratio is not Sigma's; write it as tocsin.correlate")


@pytest.mark.parametrize(
    ("condition", "warning"),
    [
        ("{gte: 0.5}", "without min_count a ratio is of 20 events at least; write min_count: 20"),
        ("{gte: 0, min_count: 5}", "every ratio meets this condition; check its numbers"),
        ("{lte: 1, min_count: 5}", "every ratio meets this condition; check its numbers"),
    ],
)
def test_what_is_surely_not_meant_is_warned_of(
    load_text: Callable[..., RuleSet], condition: str, warning: str
) -> None:
    assert warned(load_text(with_condition(condition))) == [warning]


def test_a_part_that_is_the_whole_is_warned_of(load_text: Callable[..., RuleSet]) -> None:
    keys = "of: failed or  ok, over: failed or ok"

    assert warned(load_text(rule(PART.replace("KEYS", keys)))) == [
        "of and over are the same, so the ratio is always 1; let of be a part"
    ]


def test_a_ratio_of_fewer_events_than_twenty_is_nothing_where_nobody_says_how_many(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = [{"at": at, "type": "fp", "client_name": "Shop"} for at in range(21)]

    assert alerts(with_condition("{gte: 0.5}"), events) == [(19, 1.0), (20, 1.0)]


def test_params_fill_both_conditions_and_the_numbers(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    text = rule(
        "{type: ratio, of: $part, over: failed or ok, group-by: [data.client_name], timespan: $window, "
        "condition: {gte: $share, min_count: $least}}",
        params="{part: {default: failed}, share: {default: 0.5}, least: {default: 2}, window: {default: 3s}}",
    )
    events = [
        {"at": at, "type": kind, "client_name": "Shop"} for at, kind in enumerate(["s", "s", "s", "fp", "fp"])
    ]

    assert alerts(text, events) == [(4, 0.5)]


def test_a_threshold_changes_no_state_and_another_kind_of_window_does(
    load_text: Callable[..., RuleSet],
) -> None:
    states = {
        condition: state_of(load_text(with_condition(condition)))
        for condition in ("{gte: 0.5, min_count: 5}", "{gt: 0.9, min_count: 7}", "{lt: 0.5, min_count: 5}")
    }

    first, second, third = states.values()
    assert first == second != third


def test_evidence_are_the_events_of_the_part(evidence: Callable[..., dict[str, list[str]]]) -> None:
    events = [{"at": 0, "type": "s", "client_name": "Shop", "user_name": "fine"}]
    events += [{"at": n, "type": "fp", "client_name": "Shop", "user_name": f"u{n}"} for n in range(1, 5)]

    assert evidence(with_condition("{gte: 0.8, min_count: 5}"), events) == {
        "data.user_name": ["u1", "u2", "u3", "u4"]
    }


def test_a_group_over_the_cap_is_judged_by_its_newest_and_says_so(
    load_text: Callable[..., RuleSet],
) -> None:
    correlation = load_text(with_condition("{gte: 0.5, min_count: 5}")).rules[0].correlation
    assert correlation is not None
    assert correlation.spec.ledger is not None
    ledger = correlation.spec.ledger(None, correlation.spec.keep)

    for start in range(0, 12_000, 1_000):
        ledger.observe([Seen(at, at, 2 if at < 9_000 else 3) for at in range(start, start + 1_000)], 0)

    assert ledger.size <= 10_000
    assert ledger.floor_until > 12_000
    assert correlation.true(ledger.due(13_000, 11_999)) == []  # 3,000 of what is left are no half


@pytest.mark.parametrize("path", ["ratio.md"])
def test_the_example_of_its_page_is_sound(path: str) -> None:
    assert page_outcomes(path) == []


def test_it_is_known_by_its_name() -> None:
    assert CORRELATIONS["ratio"] is RATIO
