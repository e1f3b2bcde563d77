"""`value_ratio`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Ledger, Seen
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.value_ratio import VALUE_RATIO

from .shorthand import Told, page_outcomes, rule, state_of, warned

HEAD = rule("{type: value_ratio, of: failed, without: ok, group-by: [data.ip], timespan: 10m, CONDITION}")
PART = (
    "{type: value_ratio, KEYS, group-by: [data.ip], timespan: 10m, "
    "condition: {field: data.user_name, gte: 0.8, min_count: 5}}"
)
NEEDED = "a condition over selections, like of: failed, without: ok"
EXAMPLE = "{field: data.user_name, gte: 0.8, min_count: 15}"
OF, OTHER = 1, 0


def with_condition(text: str) -> str:
    return HEAD.replace("CONDITION", f"condition: {text}" if text else "generate: false")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("without: ok", f"a value_ratio needs of, {NEEDED}"),
        ("of: failed", f"a value_ratio needs without, {NEEDED}"),
        ("of: [failed], without: ok", "of must be a condition over selections; this is a list"),
        ("of: faild, without: ok", 'condition: unknown selection "faild"; did you mean "failed"?'),
        ("of: failed, without: ok, ofer: ok", 'unknown key "ofer" in tocsin.correlate; did you mean "of"?'),
    ],
)
def test_a_mistake_in_its_parts_is_told(told: Told, keys: str, message: str) -> None:
    assert told(rule(PART.replace("KEYS", keys))) == [message]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", f"a correlation needs a condition, like {EXAMPLE}"),
        ("{field: data.user_name, min_count: 5}", f"the condition compares with nothing; write {EXAMPLE}"),
        ("{gte: 0.8, min_count: 5}", f"value_ratio counts the values of a field; write {EXAMPLE}"),
        ("{gte: 0.8, min_count: 5, field: ''}", f"field must not be empty; write one, like {EXAMPLE}"),
        ("{gte: 0.8, min_count: 5, field: data.ip}",
         "the group has one value of this field only; name another field"),
        ("{gte: 80, min_count: 5, field: data.user_name}", "a ratio is from 0 to 1, not 80; write 0.8"),
        ("{gte: -1, min_count: 5, field: data.user_name}", "a ratio is from 0 to 1, not -1"),
        ("{gt: 1, min_count: 5, field: data.user_name}",
         "no ratio can meet this condition; check its numbers"),
        ("{lt: 0.2, min_count: 5, field: data.user_name}",
         "a value_ratio has gte or gt, no lt; swap of and without"),
        ("{gte: 0.8, lte: 0.9, min_count: 5, field: data.user_name}",
         "a value_ratio has gte or gt, no lte; swap of and without"),
        ("{gte: 0.8, min_count: 0, field: data.user_name}",
         "min_count must be a whole number from 1 to 8000, not 0"),
        ("{gte: 0.8, min_count: 9000, field: data.user_name}",
         "min_count must be a whole number from 1 to 8000, not 9000"),
        ("{gte: 0.8, mincount: 5, field: data.user_name}",
         'unknown key "mincount" in condition; did you mean "min_count"?'),
    ],
)  # fmt: skip
def test_a_mistake_in_its_condition_is_told(told: Told, condition: str, message: str) -> None:
    assert told(with_condition(condition)) == [message]


@pytest.mark.parametrize(
    ("condition", "warning"),
    [
        ("{field: data.user_name, gte: 0.5}",
         "without min_count a ratio is of 20 values at least; write min_count: 20"),
        ("{field: data.user_name, gte: 0, min_count: 5}",
         "every ratio meets this condition; check its numbers"),
    ],
)  # fmt: skip
def test_what_is_surely_not_meant_is_warned_of(
    load_text: Callable[..., RuleSet], condition: str, warning: str
) -> None:
    assert warned(load_text(with_condition(condition))) == [warning]


def test_of_and_without_the_same_is_a_mistake(told: Told) -> None:
    keys = "of: failed or  ok, without: failed or ok"

    assert told(rule(PART.replace("KEYS", keys))) == [
        "of and without are the same; name what of must be without"
    ]


def test_a_flood_of_good_logins_of_one_user_hides_nobody(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = [{"at": at, "type": "fp", "ip": "A", "user_name": f"u{at}"} for at in range(4)]
    events += [{"at": at % 4, "type": "s", "ip": "A", "user_name": "Mine"} for at in range(400)]

    found = alerts(with_condition("{field: data.user_name, gte: 0.8, min_count: 5}"), events)

    assert found == [(3, 0.8)]


def test_who_gets_in_later_is_no_longer_of_the_part(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = [{"at": at, "type": "fp", "ip": "A", "user_name": f"u{at}"} for at in range(3)]
    events += [{"at": 9, "type": "s", "ip": "A", "user_name": "U1"}]

    found = alerts(with_condition("{field: data.user_name, gte: 0.5, min_count: 3}"), events)

    assert found == [(2, 1.0), (9, pytest.approx(2 / 3))]


def test_who_got_in_before_anybody_failed_does_not_count_and_at_that_instant_does(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = [{"at": 0, "type": "s", "ip": "A", "user_name": f"early{n}"} for n in range(50)]
    events += [{"at": 1, "type": kind, "ip": "A", "user_name": kind} for kind in ("s", "fp", "fu")]

    found = alerts(with_condition("{field: data.user_name, gte: 0.1, min_count: 1}"), events)

    assert found == [(1, pytest.approx(2 / 3))]


def test_a_threshold_changes_no_state_and_another_field_does(load_text: Callable[..., RuleSet]) -> None:
    states = [
        state_of(load_text(with_condition(condition)))
        for condition in (
            "{field: data.user_name, gte: 0.5, min_count: 5}",
            "{field: data.user_name, gt: 0.9, min_count: 7}",
            "{field: data.user_id, gte: 0.5, min_count: 5}",
        )
    ]

    first, second, third = states
    assert first == second != third


def test_evidence_are_the_events_of_the_part(evidence: Callable[..., dict[str, list[str]]]) -> None:
    events = [{"at": 2, "type": "s", "ip": "A", "user_name": "fine"}]
    events += [{"at": n, "type": "fp", "ip": "A", "user_name": f"u{n}"} for n in range(1, 5)]

    found = evidence(with_condition("{field: data.user_name, gte: 0.8, min_count: 5}"), events)

    assert found == {"data.user_name": ["u1", "u2", "u3", "u4"]}


@pytest.fixture
def ledger(load_text: Callable[..., RuleSet]) -> Ledger:
    condition = "{field: data.user_name, gte: 0.5, min_count: 5}"
    correlation = load_text(with_condition(condition)).rules[0].correlation
    assert correlation is not None
    assert correlation.spec.ledger is not None
    return correlation.spec.ledger(None, correlation.spec.keep)


def test_of_a_group_where_nobody_fails_nothing_is_kept(ledger: Ledger) -> None:
    ledger.observe([Seen(at, at, 8 * at | OTHER) for at in range(1000)], 0)

    assert ledger.lasts_until == 999
    assert ledger.due(1_001, 500) == []
    assert ledger.size == 500


def test_who_gets_in_again_and_again_is_kept_once(ledger: Ledger) -> None:
    ledger.observe([Seen(0, 0, 8 | OF)], 0)
    for start in range(1, 50_000, 1_000):
        ledger.observe([Seen(at, at, 16 | OTHER) for at in range(start, start + 1_000)], start)

    assert ledger.size < 3_000
    assert ledger.floor_until < 0


def test_a_group_over_the_cap_is_judged_by_its_newest_and_says_so(ledger: Ledger) -> None:
    for start in range(0, 12_000, 1_000):
        ledger.observe([Seen(at, at, 8 * at | OF) for at in range(start, start + 1_000)], 0)

    assert ledger.size <= 10_000
    assert ledger.floor_until > 12_000


def test_the_example_of_its_page_is_sound() -> None:
    assert page_outcomes("value_ratio.md") == []


def test_it_is_known_by_its_name() -> None:
    assert CORRELATIONS["value_ratio"] is VALUE_RATIO
