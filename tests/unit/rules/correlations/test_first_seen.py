"""`first_seen`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.sightings import NewLaw, first_sightings

from .shorthand import Told, page_outcomes, rule, state_of

HEAD = "{type: first_seen, group-by: [data.user_name], KEYS}"
DAY = 86_400
KNOWN = "allow_missing, field, generate, group-by, learn, min_seen, remember, type"
DURATION = "write a number and a unit, like 30s, 10m, 4h or 7d"
NEW = rule(HEAD.replace("KEYS", "field: data.ip, remember: 1h, learn: 10m"))
Alerts = Callable[..., Sequence[tuple[int, float]]]


def keyed(text: str) -> str:
    return rule(HEAD.replace("KEYS", text))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("remember: 1d", "first_seen needs field, whose values may be new; write field: data.ip"),
        (
            "field: {a: b}",
            "field must be a list of texts; an unquoted {…} is a map in YAML, put it in quotes",
        ),
        ("field: data.user_name", "the group has one value of this field only; name another field"),
        ("field: data.ip, remember: forever", "remember: 'forever' is not a duration; " + DURATION),
        (
            "field: data.ip, remember: 3M",
            "3M: months and years have no fixed length; write days or weeks, like 30d, or 3m for minutes",
        ),
        ("field: data.ip, remember: 0s", "a remember is more than 0 and at most 3650d, not 0s"),
        ("field: data.ip, learn: long", "learn: 'long' is not a duration; " + DURATION),
        ("field: data.ip, learn: 4000d", "learn is at most 3650d, not 4000d"),
        ("field: data.ip, min_seen: 1.5", "min_seen must be a whole number from 0 to 1000000, not 1.5"),
        ("field: data.ip, min_seen: -1", "min_seen must be a whole number from 0 to 1000000, not -1"),
        ("field: data.ip, min_seen: many", "min_seen must be a number, not 'many'"),
        (
            "field: data.ip, min-seen: 3",
            'unknown key "min-seen" in tocsin.correlate; did you mean "min_seen"?',
        ),
        (
            "field: data.ip, timespan: 7d",
            'unknown key "timespan" in tocsin.correlate; known are ' + KNOWN,
        ),
    ],
)
def test_a_mistake_is_told(told: Told, keys: str, message: str) -> None:
    assert told(keyed(keys)) == [message]


def test_a_rule_of_another_document_is_no_first_sighting(told: Told) -> None:
    text = "title: t\ncorrelation: {type: first_seen, rules: [a], field: data.ip}\n"

    assert any(
        line.startswith("first_seen is not Sigma's; write it as tocsin.correlate") for line in told(text)
    )


def test_what_is_left_out_is_ninety_days_a_week_and_one(load_text: Callable[..., RuleSet]) -> None:
    (one,) = load_text(keyed("field: data.ip")).rules
    (other,) = load_text(keyed("field: data.ip, remember: 90d, learn: 7d, min_seen: 1")).rules

    assert one.correlation is not None
    assert other.correlation is not None
    assert one.correlation.spec.span_ms == other.correlation.spec.span_ms == 90 * DAY * 1000
    assert one.rule.timespan_ms == DAY * 1000  # what an alert shows, and when it ends


def at(seconds: int, ip: object, user: str = "ann") -> dict[str, object]:
    return {"at": seconds, "type": "s", "user_name": user, "ip": ip}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([at(0, "a"), at(600, "b")], [600]),
        ([at(0, "a"), at(599, "b")], []),
        ([at(0, "a"), at(600, "A")], []),
        ([at(0, "a"), at(600, None), at(601, "")], []),
        ([at(0, 1), at(600, "1")], []),
        ([at(0, True), at(600, "true")], []),
        ([at(0, "a"), at(600, "b"), at(600, "c"), at(601, "b")], [600]),
        ([at(0, "a"), at(3600, "a"), at(7200, "b")], [7200]),
        ([at(0, "a"), at(1800, "b"), at(3600, "a"), at(5400, "b")], [1800]),
        ([at(0, "a"), at(1000, "b"), at(3000, "a"), at(4601, "b")], [1000, 4601]),
        ([at(0, "a"), at(3601, "b")], []),
        ([at(0, "a"), at(3601, "b"), at(4201, "a")], [4201]),
        ([at(0, "a"), at(600, "b", "bob")], []),
    ],
    ids=[
        "after the time of learning", "a second before", "case", "no value", "a number", "true",
        "two at an instant are one", "known to the end of the hour, and the history goes on", "seen again",
        "a second after the hour", "an hour and a second of quiet begin anew", "and learn anew", "of another",
    ],
)  # fmt: skip
def test_when_a_value_is_new(
    alerts: Alerts, events: Sequence[dict[str, object]], expected: list[int]
) -> None:
    assert alerts(NEW, events) == [(second, 1.0) for second in expected]


def test_so_many_sightings_are_needed_before(alerts: Alerts) -> None:
    text = keyed("field: data.ip, learn: 0s, min_seen: 3")
    known = [at(0, "a"), at(1, "a"), at(1, "a")]  # two at an instant with one value are one sighting

    assert alerts(text, [*known, at(2, "b")]) == []
    assert alerts(text, [*known, at(2, "a"), at(3, "b")]) == [(3, 1.0)]


def test_nothing_needed_and_nothing_learned_is_each_value_once(alerts: Alerts) -> None:
    text = keyed("field: data.ip, learn: 0s, min_seen: 0")

    assert alerts(text, [at(0, "a"), at(1, "a"), at(2, "b")]) == [(0, 1.0), (2, 1.0)]


def test_several_fields_are_known_together(alerts: Alerts) -> None:
    text = keyed("field: [data.ip, data.country], learn: 1s")
    events = [{**at(n, ip), "country": country} for n, (ip, country) in enumerate(["ax", "by", "ay", "ax"])]

    assert alerts(text, events) == [(1, 1.0), (2, 1.0)]


def test_without_a_group_the_tenant_is_the_entity(alerts: Alerts) -> None:
    text = rule("{type: first_seen, field: data.ip, learn: 1s}")

    assert alerts(text, [at(0, "a"), at(1, "a", "bob"), at(2, "b", "bob")]) == [(2, 1.0)]


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ("field: data.ip, remember: 1h, learn: 1d, min_seen: 9", True),
        ("field: data.ip, remember: 2h, learn: 10m", False),
        ("field: data.country, remember: 1h, learn: 10m", False),
    ],
)
def test_what_makes_another_state(load_text: Callable[..., RuleSet], keys: str, same: bool) -> None:
    assert (state_of(load_text(keyed(keys))) == state_of(load_text(NEW))) is same


def test_params_fill_all_of_it(alerts: Alerts) -> None:
    text = rule(
        HEAD.replace("KEYS", "field: data.ip, remember: $r, learn: $l, min_seen: $m"),
        params="{r: {default: 10s}, l: {default: 2s}, m: {default: 2, min: 1, max: 5}}",
    )

    assert alerts(text, [at(0, "a"), at(1, "a"), at(2, "b"), at(13, "c")]) == [(2, 1.0)]


# The ledger alone.

LAW = NewLaw(1_000, 0, 0)


def test_of_too_many_values_the_longest_unseen_go_and_it_is_said() -> None:
    ledger = first_sightings(LAW)(None, 3)
    ledger.observe([Seen(n, n) for n in range(5)], 0)

    assert [at_ms for at_ms, _ in ledger.due(10, 0)] == [0, 1, 2, 3, 4]
    ledger.due(10, 10)
    ledger.observe([Seen(20, 0), Seen(21, 4)], 10)

    assert ledger.due(30, 10) == [(20, 1.0)]  # 0 was let go: it seems new
    assert ledger.floor_until == 1_002
    assert len(ledger.dump()) == 40 + 3 * 24 + 2 * 24


def test_a_late_sighting_is_told_at_once_and_again_after_a_crash() -> None:
    ledger = first_sightings(LAW)(None, None)
    ledger.observe([Seen(100, 1), Seen(300, 2)], 0)
    ledger.due(500, 500)

    assert ledger.observe([Seen(200, 3)], 500) == [(200, 1.0)]
    again = first_sightings(LAW)(ledger.dump(), None)
    assert again.observe([Seen(200, 3)], 500) == [(200, 1.0)]
    assert again.observe([Seen(250, 3), Seen(250, 2)], 500) == [(250, 1.0)]  # 2 was not seen before 300
    assert again.observe([Seen(260, 3)], 500) == []


def test_a_value_seen_late_before_it_was_first_seen_was_new_then() -> None:
    ledger = first_sightings(LAW)(None, None)
    ledger.observe([Seen(100, 1), Seen(300, 2)], 0)
    ledger.due(500, 500)

    assert ledger.observe([Seen(200, 2)], 500) == [(200, 1.0)]
    assert ledger.observe([Seen(210, 2)], 500) == []


def test_a_known_value_waits_for_nothing_and_needs_no_evidence() -> None:
    ledger = first_sightings(LAW)(None, None)
    ledger.observe([Seen(100, 1)], 0)
    assert (ledger.deadline, ledger.size) == (100, 1)
    ledger.due(150, 150)

    ledger.observe([Seen(200, 1)], 150)

    assert (ledger.deadline, ledger.size, ledger.lasts_until) == (None, 1, 1_200)
    ledger.observe([Seen(210, 2)], 150)
    assert ledger.deadline == 210
    assert ledger.size > 1


def test_the_example_of_its_page_passes_its_tests() -> None:
    assert page_outcomes("first_seen.md") == []
