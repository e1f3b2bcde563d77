"""`sequence`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.sequence import SEQUENCE

from .shorthand import Told, page_outcomes, replayed, rule, state_of, warned

EXAMPLE = "[{when: failed, at_least: 5}, {when: succeeded}]"
WHOLE = "at_least must be a whole number from 1 to 8000"


def sequence(steps: str, more: str = "") -> str:
    steps = f", steps: {steps}" if steps else ""
    return rule(f"{{type: sequence, group-by: [data.ip], timespan: 10s{steps}{more}}}")


@pytest.mark.parametrize(
    ("steps", "messages"),
    [
        ("", [f"a sequence needs steps, like {EXAMPLE}"]),
        ("[]", ["a sequence has from 2 to 10 steps, not 0"]),
        ("[{when: failed}]",
         ["a sequence has from 2 to 10 steps, not 1; to count one kind of event use event_count"]),
        ("[" + ", ".join(["{when: ok}"] * 11) + "]", ["a sequence has from 2 to 10 steps, not 11"]),
        ("{when: failed}", ["steps must be a list of maps; this is one map, put it in a list: [{…}]"]),
        ("[failed, ok]",
         ["steps must be a list of maps, and entry 1 is the text 'failed'; write {when: failed}"]),
        ("[{when: ok}, [ok]]",
         ["steps must be a list of maps, and entry 2 is a list; write its entries one by one"]),
        ("['when:ok', {when: failed}]",
         [("steps must be a list of maps, and entry 1 is the text 'when:ok'; "
           'write a space after the colon: "when: ok"')]),
        ("[{when: failed}, {at_least: 2}]",
         ["a step needs when, a condition over selections, like when: failed"]),
        ("[{when: [failed]}, {when: ok}]", ["when must be a condition over selections; this is a list"]),
        ("[{when: failed, at_least: 0}, {when: ok}]", [f"{WHOLE}, not 0"]),
        ("[{when: failed, at_least: 1.5}, {when: ok}]", [f"{WHOLE}, not 1.5"]),
        ("[{when: failed, at_least: 9000}, {when: ok}]", [f"{WHOLE}, not 9000"]),
        ("[{when: failed, at_least: five}, {when: ok}]", ["at_least must be a number, not 'five'"]),
        ("[{when: failed, at_leats: 5}, {when: ok}]",
         ['unknown key "at_leats" in a step; did you mean "at_least"?']),
        ("[{when: failed, distinct: {a: b}}, {when: ok}]",
         ["distinct must be a list of texts; an unquoted {…} is a map in YAML, put it in quotes"]),
        ("[{when: failed}, {when: okk}]", ['condition: unknown selection "okk"; did you mean "ok"?']),
        ("[{when: faild}, {when: okk}]",
         ['condition: unknown selection "faild"; did you mean "failed"?',
          'condition: unknown selection "okk"; did you mean "ok"?']),
        ("[{when: failed and (known}, {when: ok}]", ['condition: this "(" is never closed; add ")"']),
    ],
)  # fmt: skip
def test_a_mistake_in_its_steps_is_told(told: Told, steps: str, messages: list[str]) -> None:
    assert told(sequence(steps)) == messages


def test_a_condition_is_told_where_it_belongs(told: Told) -> None:
    text = sequence("[{when: failed}, {when: ok}]", ", condition: {gte: 5}")

    assert told(text) == ["a sequence has no condition; say at_least in its steps"]


def test_distinct_without_a_number_is_warned_of_after_the_first_step(
    load_text: Callable[..., RuleSet],
) -> None:
    steps = "[{when: failed, distinct: data.user_name}, {when: ok, distinct: data.user_name}]"

    assert warned(load_text(sequence(steps))) == [
        "distinct changes nothing where one event is enough; write at_least"
    ]


def events(*codes: str, every: int = 1) -> list[dict[str, object]]:
    """Events of these codes (`fp ann` with a user), so many seconds apart; `=fp` at the time of the last."""
    found: list[dict[str, object]] = []
    at = -every
    for code in codes:
        at += 0 if code.startswith("=") else every
        kind, _, user = code.lstrip("=").partition(" ")
        found.append({"at": at, "type": kind, "ip": "203.0.113.9", "user_name": user or None})
    return found


TWO_THEN_OK = "[{when: failed, at_least: 2}, {when: ok}]"
USERS_THEN_OK = "[{when: failed, at_least: 2, distinct: data.user_name}, {when: ok}]"


@pytest.mark.parametrize(
    ("steps", "happened", "expected"),
    [
        (TWO_THEN_OK, events("fp", "fp", "s"), [(2, 2.0)]),
        (TWO_THEN_OK, events("fp", "s", "fp"), []),
        (TWO_THEN_OK, events("fp", "fp", "=s"), []),
        (TWO_THEN_OK, events("fp", "=fp", "s"), [(1, 2.0)]),
        (TWO_THEN_OK, events("fp", "fp", "fp", "s", "s"), [(3, 3.0), (4, 3.0)]),
        (TWO_THEN_OK, events("fp", "fp", "s", every=5), [(10, 2.0)]),
        (TWO_THEN_OK, events("fp", "fp", "s", every=6), []),
        (USERS_THEN_OK, events("fp ann", "fp Ann", "s"), []),
        (USERS_THEN_OK, events("fp ann", "fp Ann", "fu bob", "s"), [(3, 2.0)]),
        (USERS_THEN_OK, events("fp ann", "fp", "s"), []),
        # The last step needs two: the second of them completes it, and the third keeps it.
        ("[{when: failed}, {when: ok, at_least: 2}]", events("fp", "s", "s", "s"), [(2, 1.0), (3, 1.0)]),
        ("[{when: failed}, {when: ok, at_least: 2, distinct: data.user_name}]",
         events("fp", "s a", "s a", "s b"), [(3, 1.0)]),
        # The first step has what comes before the rest, and the rest begins as late as it can.
        ("[{when: failed}, {when: ok, at_least: 2}]", events("fp", "s", "fp", "s", "s"),
         [(3, 1.0), (4, 2.0)]),
        ("[{when: failed}, {when: ok}, {when: failed}]", events("fp", "fp", "s", "fp", "s", "fp"),
         [(3, 2.0), (5, 3.0)]),
        # An event of two steps serves one of them.
        ("[{when: failed}, {when: known}]", events("fp"), []),
        ("[{when: failed}, {when: known}]", events("fp", "fp", "fp"), [(1, 1.0), (2, 2.0)]),
    ],
)  # fmt: skip
def test_steps_come_in_strict_order_inside_one_window(
    alerts: Callable[..., Sequence[tuple[int, float]]],
    steps: str,
    happened: list[dict[str, object]],
    expected: list[tuple[int, float]],
) -> None:
    assert alerts(sequence(steps), happened) == expected
    assert alerts(sequence(steps), happened[::-1]) == expected  # in whatever order they come


def test_the_first_steps_number_is_the_threshold(load_text: Callable[..., RuleSet]) -> None:
    text = rule(
        "{type: sequence, group-by: [data.ip], timespan: 10m, "
        "steps: [{when: failed, at_least: $tries}, {when: ok}]}",
        params="{tries: {default: 2}}",
        severity="[{gte: 3, is: high}]",
    )
    ruleset = load_text(text)

    assert ruleset.rules[0].rule.threshold == 2
    found = replayed(ruleset, events("fp", "fp", "s", "fp", "s"))
    assert [(alert.score, alert.severity) for alert in found] == [(2, "low"), (3, "high")]


def test_evidence_is_what_completed_it(evidence: Callable[..., dict[str, list[str]]]) -> None:
    happened = events("fp ann", "fp bob", "s victim")

    assert evidence(sequence(USERS_THEN_OK), happened) == {"data.user_name": ["victim"]}


def test_thresholds_change_no_state_and_what_is_counted_does(load_text: Callable[..., RuleSet]) -> None:
    def state(steps: str) -> str:
        return state_of(load_text(sequence(steps)))

    one = state(TWO_THEN_OK)
    assert state("[{when: failed, at_least: 7}, {when: ok, at_least: 3}]") == one
    assert state("[{when: known, at_least: 2}, {when: ok}]") != one
    assert state("[{when: ok}, {when: failed, at_least: 2}]") != one
    by_user = state(USERS_THEN_OK)
    assert by_user != one
    assert state("[{when: failed}, {when: ok, at_least: 2, distinct: data.user_name}]") not in (one, by_user)


def test_a_flood_without_a_last_step_is_not_judged(load_text: Callable[..., RuleSet]) -> None:
    correlation = load_text(sequence(TWO_THEN_OK)).rules[0].correlation
    assert correlation is not None
    assert correlation.spec.ledger is not None
    ledger = correlation.spec.ledger(None, correlation.spec.keep)

    for start in range(0, 60_000, 1_000):
        assert ledger.observe([Seen(at // 20, at << 4, 0) for at in range(start, start + 1_000)], 0) == []

    assert ledger.size <= 10_000
    assert ledger.floor_until > 3_000
    ((at_ms, score),) = ledger.observe([Seen(3_000, 17, 1)], 0)
    assert (at_ms, correlation.holds(score)) == (3_000, True)


def test_the_example_of_its_page_is_sound() -> None:
    assert page_outcomes("sequence.md") == []


def test_it_is_known_by_its_name() -> None:
    assert CORRELATIONS["sequence"] is SEQUENCE
