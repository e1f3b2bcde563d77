"""`absence`: how it is read, and what small rules of it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from tocsin.engine import Engine
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.model.ledger import BEGINS, Seen
from tocsin.rules.correlations.quiet import QuietLaw, quiet, thinned
from tocsin.rules.correlations.unanswered import AFTER, WITHOUT, unanswered
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

from .shorthand import Told, page_outcomes, replayed, rule, state_of

DAY = 86_400
KNOWN = "after, allow_missing, expected, generate, group-by, timespan, type, without"
HEAD = "{type: absence, timespan: 10m, KEYS}"
Alerts = Callable[..., Sequence[tuple[int, float]]]


def keyed(text: str) -> str:
    return rule(HEAD.replace("KEYS", text))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("expected: [a]", "expected are values of one group-by field; write group-by: [data.ip]"),
        (
            "expected: [a], group-by: [data.ip, data.user_name]",
            "expected are values of one group-by field; write group-by: [data.ip]",
        ),
        (
            "expected: [a], group-by: [data.ip], after: ok",
            "expected groups are missed whatever came before; remove it, or after",
        ),
        (
            "expected: {a: b}",
            "expected must be a list of texts; an unquoted {…} is a map in YAML, put it in quotes",
        ),
        ("without: ok", "without says what should follow; write after, what it should follow"),
        ("after: ok, without: ok", "after and without are the same; name what should follow"),
        ("after: [ok]", "after must be a condition over selections; this is a list"),
        ("after: okay, without: failed", 'condition: unknown selection "okay"; did you mean "ok"?'),
        ("after: okay", 'condition: unknown selection "okay"; did you mean "ok"?'),
        ("after: ''", "condition: it is empty; name a selection"),
        ("after: ok and", "condition: it ends where a selection is expected"),
        (
            "condition: {gte: 1}",
            'unknown key "condition" in tocsin.correlate; known are ' + KNOWN,
        ),
        ("groupby: [data.ip]", 'unknown key "groupby" in tocsin.correlate; did you mean "group-by"?'),
    ],
)
def test_a_mistake_is_told(told: Told, keys: str, message: str) -> None:
    assert told(keyed(keys)) == [message]


def test_too_many_expected_are_refused(told: Told) -> None:
    values = ", ".join(f"v{number}" for number in range(1_001))

    assert told(keyed(f"group-by: [data.ip], expected: [{values}]")) == [
        "expected has 1001 values; it may have 1000"
    ]


def test_it_needs_a_timespan(told: Told) -> None:
    assert told(rule("{type: absence}")) == ["a correlation needs a timespan, like 10m"]


def at(second: int, code: str = "s", ip: object = "a") -> dict[str, object]:
    return {"at": second, "type": code, "ip": ip, "user_name": "ann"}


def test_a_silence_is_told_every_timespan(alerts: Alerts) -> None:
    text = rule("{type: absence, timespan: 6h}")

    found = alerts(text, [at(0), at(21_600)])

    assert found == [(43_200, 1.0), (64_800, 2.0), (86_400, 3.0)]  # then the run ends


def test_in_an_episode_a_silence_is_one_alert(load_text: Callable[..., RuleSet], alerts: Alerts) -> None:
    text = rule("{type: absence, timespan: 2h}").replace("resolve_after: 0s, ", "")
    (one,) = load_text(text).rules

    assert one.rule.resolve_after_ms == 7_200_000
    assert alerts(text, [at(0), at(30_000)]) == [(7_200, 4.0), (37_200, 7.0)]


@pytest.mark.parametrize(
    ("timespan", "every", "longest"),
    [
        ("1s", 1, 2_000),
        ("10m", 600, 7 * DAY),
        ("1d", DAY, 7 * DAY),
        ("2d", DAY, 7 * DAY),
        ("30d", DAY, 30 * DAY),
    ],
)
def test_how_often_and_how_long_a_silence_is_told(
    load_text: Callable[..., RuleSet], timespan: str, every: int, longest: int
) -> None:
    (one,) = load_text(rule(f"{{type: absence, timespan: {timespan}}}")).rules
    assert one.correlation is not None
    assert one.correlation.spec.ledger is not None
    ledger = one.correlation.spec.ledger(None, None)
    ledger.observe([Seen(0, 0)], 0)

    found = [at_ms // 1000 for at_ms, _ in ledger.due(400 * DAY * 1000, 0)]

    assert found[-1] == longest
    assert {later - one for one, later in pairwise(found)} <= {every}


def test_any_other_match_answers_where_nobody_says_what_does(alerts: Alerts) -> None:
    events = [at(0, "fp"), at(600, "s"), at(700, "fp"), at(1_301, "s")]

    assert alerts(keyed("after: failed"), events) == [(1_300, 1.0)]


def test_of_one_instant_the_answer_does_not_count(alerts: Alerts) -> None:
    assert alerts(keyed("after: failed, without: ok"), [at(5, "fp"), at(5, "s")]) == [(605, 1.0)]


def test_each_group_has_its_own_silence(alerts: Alerts) -> None:
    events = [at(0, "fp", "a"), at(10, "s", "b"), at(20, "fp", "B"), at(30, "s", "A")]

    assert alerts(keyed("group-by: [data.ip], after: failed, without: ok"), events) == [(620, 1.0)]


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ("group-by: [data.ip], expected: [A, b]", True),
        ("group-by: [data.ip], expected: [a]", False),
        ("group-by: [data.ip]", False),
        ("group-by: [data.ip], after: ok", False),
    ],
)
def test_what_makes_another_state(load_text: Callable[..., RuleSet], keys: str, same: bool) -> None:
    here = state_of(load_text(keyed("group-by: [data.ip], expected: [a, B, a]")))

    assert (state_of(load_text(keyed(keys))) == here) is same


# The ledgers alone.

LAW = QuietLaw(span_ms=100, step_ms=100, longest_ms=1_000, begins=False)


def test_a_busy_group_is_two_times_a_span() -> None:
    times = thinned(range(1_000), 100)

    assert len(times) < 25
    assert (times[0], times[-1]) == (0, 999)
    assert max(later - one for one, later in pairwise(times)) <= 100


def test_what_is_committed_is_one_time() -> None:
    ledger = quiet(LAW)(None, None)
    ledger.observe([Seen(time_ms, 0) for time_ms in (0, 90, 300, 380, 700)], 0)

    assert ledger.due(800, 0) == [(190, 1.0), (290, 2.0), (480, 1.0), (580, 2.0), (680, 3.0)]
    ledger.due(800, 750)

    assert len(ledger.dump()) == 8
    assert ledger.deadline == 800
    assert ledger.lasts_until == 1_700
    assert [at_ms for at_ms, _ in ledger.due(5_000, 750)] == list(range(800, 1_701, 100))
    ledger.due(5_000, 5_000)
    assert ledger.deadline is None


def test_a_group_nobody_expects_does_not_begin_by_being_asked_about() -> None:
    ledger = quiet(LAW)(None, None)

    assert ledger.due(500, 0) == []
    assert ledger.dump() == b""


def test_an_expected_group_begins_when_it_is_first_asked_about_and_never_ends() -> None:
    law = LAW._replace(begins=True)
    ledger = quiet(law)(None, None)

    assert ledger.due(500, 0) == []
    again = quiet(law)(ledger.dump(), None)
    assert again.due(701, 0) == [(600, 1.0), (700, 2.0)]
    assert again.lasts_until > 10**17


def test_an_expected_group_begins_when_it_is_said_and_saying_it_later_changes_nothing() -> None:
    law = LAW._replace(begins=True)
    ledger = quiet(law)(None, None)
    for at_ms, committed_ms in ((350, 0), (300, 0), (400, 0), (250, 270)):
        assert ledger.observe([Seen(at_ms, 0, BEGINS)], committed_ms) == []
        ledger = quiet(law)(ledger.dump(), None)

    ledger.observe([Seen(450, 0)], 300)

    assert ledger.due(700, 300) == [(400, 1.0), (550, 1.0), (650, 2.0)]


def test_a_beginning_behind_an_event_that_is_committed_is_forgotten() -> None:
    ledger = quiet(LAW._replace(begins=True))(None, None)
    ledger.observe([Seen(100, 0, BEGINS), Seen(150, 0)], 0)

    ledger.due(400, 200)

    assert len(ledger.dump()) == 16
    assert ledger.due(400, 200) == [(250, 1.0), (350, 2.0)]
    assert ledger.observe([Seen(120, 0, BEGINS)], 200) == []
    assert ledger.due(400, 200) == [(250, 1.0), (350, 2.0)]


@pytest.mark.parametrize("event", [{}, {"ip": "ADMIN"}])
def test_an_expected_group_is_shown_as_the_rule_writes_it(
    load_text: Callable[..., RuleSet], event: dict[str, object]
) -> None:
    text = keyed("group-by: [data.ip], expected: [Admin]")

    found = replayed(load_text(text), [at(0) | event, at(2_000)])

    assert {alert.group["data.ip"] for alert in found} == {"Admin"}


def test_after_a_gap_the_watch_over_expected_groups_begins_with_the_next_event(
    load_text: Callable[..., RuleSet],
) -> None:
    ruleset = load_text(keyed("group-by: [data.ip], expected: [Admin]"))
    engine = Engine(ruleset, MemoryWindows(), MemoryEvidence())

    def event(second: int) -> Event:
        return Event(id=f"e{second}", time_ms=second * 1_000, provider="auth0", tenant="acme", code="sapi")

    engine.process("acme", [event(0)], committed_ms=0)
    engine.forget("acme", {spec.state for spec in engine.specs})
    engine.process("acme", [event(300)], committed_ms=0)

    (found,) = engine.due("acme", watermark_ms=1_000_000, committed_ms=0)
    assert found.instants == [(900_000, 1.0)]


def test_a_late_event_is_judged_at_once() -> None:
    ledger = quiet(LAW)(None, None)

    assert ledger.observe([Seen(200, 0)], 450) == [(300, 1.0), (400, 2.0)]
    assert ledger.observe([Seen(200, 0)], 450) == [(300, 1.0), (400, 2.0)]
    assert ledger.observe([Seen(100, 0)], 450) == []


def test_a_late_question_is_judged_at_once() -> None:
    ledger = unanswered(100)(None, None)
    ledger.observe([Seen(250, 0, WITHOUT)], 0)

    assert ledger.observe([Seen(160, 0, AFTER)], 300) == []
    assert ledger.observe([Seen(120, 0, AFTER)], 300) == [(220, 1.0)]


def test_of_too_many_questions_the_oldest_go_and_it_is_said() -> None:
    ledger = unanswered(100_000)(None, 80)

    ledger.observe([Seen(time_ms, 0, AFTER) for time_ms in range(100)], 0)

    assert ledger.size == 70
    assert ledger.floor_until == 29 + 100_000 + 1
    assert ledger.deadline == 100_030


def test_only_what_waits_needs_evidence() -> None:
    ledger = unanswered(100)(None, None)
    ledger.observe([Seen(0, 0, WITHOUT), Seen(1, 0, WITHOUT)], 0)
    assert (ledger.size, ledger.deadline) == (1, None)

    ledger.observe([Seen(2, 0, AFTER)], 0)

    assert (ledger.size > 1, ledger.deadline, ledger.lasts_until) == (True, 102, 102)


def test_the_example_of_its_page_passes_its_tests() -> None:
    assert page_outcomes("absence.md") == []
