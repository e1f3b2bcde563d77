"""`shape`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.shape import SHAPE

from .shorthand import Told, page_outcomes, replayed, rule, state_of, warned

EXAMPLE = "{events: {gte: 25}, values: {gte: 15}, events_per_value: {lte: 2}}"
SHARE = "write share: {of: {events_per_value: {lte: 2}}, gte: 0.8}"
LOWER = "a shape needs a lower bound of events or of values, else a single event has it; write " + EXAMPLE


def shape(condition: str, per: str = "per: data.user_name") -> str:
    condition = f"condition: {condition}" if condition else ""
    return rule(f"{{type: shape, group-by: [data.ip], timespan: 10m, {per}, {condition}}}")


@pytest.mark.parametrize(
    ("condition", "messages"),
    [
        ("", [f"a correlation needs a condition, like {EXAMPLE}"]),
        ("{}", [LOWER]),
        ("{events: {lte: 5}}", [LOWER]),
        ("{values: {gte: 1}, events: {gte: 1}}", [LOWER]),
        ("{events_per_value: {lte: 2}}", [LOWER]),
        ("{events: 25}", ["events must be a map, not '25'"]),
        ("{events: {}}", ["the condition compares with nothing; write {gte: 25}"]),
        ("{events: {gte: many}}", ["gte must be a number, not 'many'"]),
        ("{events: {gte: -1}}", ["gte must be from 0 to 1000000, not -1"]),
        ("{events: {gte: 9000}}", ["events.gte is at most 8000, not 9000: no window holds more"]),
        ("{values: {gte: 9, lt: 5}}", ["no count can meet this condition; check its numbers"]),
        ("{values: {least: 5}}", ['unknown key "least" in values; known are eq, gt, gte, lt, lte, neq']),
        ("{gte: 5}", ['unknown key "gte" in condition; known are events, events_per_value, share, values']),
        ("{value: {gte: 5}}", ['unknown key "value" in condition; did you mean "values"?']),
        ("{values: {gte: 5}, share: 0.8}", ["share must be a map, not '0.8'"]),
        ("{values: {gte: 5}, share: {gte: 0.8}}", [f"a share needs of, what it is a share of; {SHARE}"]),
        ("{values: {gte: 5}, share: {of: {}, gte: 0.8}}", [f"share.of needs events_per_value; {SHARE}"]),
        ("{values: {gte: 5}, share: {of: {events: {gte: 2}}, gte: 0.8}}",
         [f"share.of needs events_per_value; {SHARE}",
          'unknown key "events" in share.of; known are events_per_value']),
        ("{values: {gte: 5}, share: {of: {events_per_value: {lte: 2}}}}",
         ["the condition compares with nothing; write {of: {events_per_value: {lte: 2}}, gte: 0.8}"]),
        ("{values: {gte: 5}, share: {of: {events_per_value: {lte: 2}}, gte: 80}}",
         ["a share is from 0 to 1, not 80; write 0.8"]),
        ("{values: {gte: 5}, share: {of: {events_per_value: {lte: 2}}, gte: -3}}",
         ["a share is from 0 to 1, not -3"]),
    ],
)  # fmt: skip
def test_a_mistake_in_its_condition_is_told(told: Told, condition: str, messages: list[str]) -> None:
    assert told(shape(condition)) == messages


@pytest.mark.parametrize(
    ("per", "message"),
    [
        ("generate: false",
         "a shape needs per, the field over whose values it looks, like per: data.user_name"),
        ("per: {a: b}", "per must be a list of texts; an unquoted {…} is a map in YAML, put it in quotes"),
        ("per: data.ip, conditions: {}",
         'unknown key "conditions" in tocsin.correlate; did you mean "condition"?'),
    ],
)  # fmt: skip
def test_a_mistake_beside_its_condition_is_told(told: Told, per: str, message: str) -> None:
    assert told(shape("{values: {gte: 5}}", per)) == [message]


def test_a_shape_over_what_is_grouped_by_is_warned_of(load_text: Callable[..., RuleSet]) -> None:
    assert warned(load_text(shape("{events: {gte: 5}}", "per: data.ip"))) == [
        "each group has one value of data.ip; name another field, or another group-by"
    ]


def failures(*users: str | None) -> list[dict[str, object]]:
    """A failure of each of these users, a second apart."""
    return [{"at": at, "type": "fp", "ip": "203.0.113.9", "user_name": user} for at, user in enumerate(users)]


@pytest.mark.parametrize(
    ("condition", "users", "expected"),
    [
        ("{values: {gte: 2}}", ["a", "A", "b"], [(2, 2.0)]),
        ("{events: {gte: 3}}", ["a", "A", "b"], [(2, 3.0)]),
        ("{events: {gte: 3}, values: {gte: 2}}", ["a", "A", "b"], [(2, 2.0)]),
        ("{events: {gt: 2}, values: {lte: 1}}", ["a", "A", "a", "b"], [(2, 1.0)]),
        ("{values: {gte: 2}, events_per_value: {lte: 1}}", ["a", "b", "a"], [(1, 2.0)]),
        ("{values: {gte: 2}, events_per_value: {gte: 2}}", ["a", "b", "a", "b"], [(3, 2.0)]),
        ("{values: {gte: 3}, share: {of: {events_per_value: {gte: 2}}, gt: 0.5}}",
         ["a", "b", "c", "a", "b", "d"], [(4, 3.0)]),
        ("{events: {eq: 3}}", ["a", "b", "c", "d"], [(2, 3.0)]),
        ("{values: {gte: 2}}", ["a", None, "", "b"], [(3, 2.0)]),
    ],
)  # fmt: skip
def test_all_that_is_written_must_hold_in_one_window(
    alerts: Callable[..., Sequence[tuple[int, float]]],
    condition: str,
    users: list[str | None],
    expected: list[tuple[int, float]],
) -> None:
    assert alerts(shape(condition), failures(*users)) == expected


def test_several_fields_are_a_tuple_whatever_is_in_them(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = failures("a", "a', 'b")
    events[0]["client_name"], events[1]["client_name"] = "b', 'c", "c"

    assert alerts(shape("{values: {gte: 2}}", "per: [data.user_name, data.client_name]"), events) == [
        (1, 2.0)
    ]


def test_numbers_and_texts_that_look_alike_are_one_value(
    alerts: Callable[..., Sequence[tuple[int, float]]],
) -> None:
    events = failures("7", "x")
    events[1]["user_name"] = 7

    assert alerts(shape("{values: {gte: 2}}"), events) == []


def test_severity_bounds_are_compared_with_the_score(load_text: Callable[..., RuleSet]) -> None:
    text = rule(
        "{type: shape, per: data.user_name, group-by: [data.ip], timespan: 10m, "
        "condition: {values: {gte: 2}}}",
        severity="[{gte: 4, is: high}]",
    )

    found = replayed(load_text(text), failures("a", "b", "c", "d"))

    assert [alert.severity for alert in found] == ["low", "low", "high"]
    assert load_text(text).rules[0].rule.threshold == 2


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("{values: {gte: 7}, events: {gte: 50}, share: {of: {events_per_value: {lte: 3}}, gte: 0.5}}", True),
        ("{events: {gte: 5}}", True),
    ],
)
def test_a_threshold_changes_no_state(load_text: Callable[..., RuleSet], other: str, *, same: bool) -> None:
    one = state_of(load_text(shape("{values: {gte: 5}}")))

    assert (state_of(load_text(shape(other))) == one) is same
    assert state_of(load_text(shape("{values: {gte: 5}}", "per: data.client_name"))) != one


def test_the_example_of_its_page_is_sound() -> None:
    assert page_outcomes("shape.md") == []


def test_it_is_known_by_its_name() -> None:
    assert CORRELATIONS["shape"] is SHAPE
